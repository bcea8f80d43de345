"""PURE: users, items and moments as hashed indicator features, for models that are linear in them."""

from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from learner.query import Query
from schemas.events import Item

BUCKETS = 2**20
NOTHING = 0
"""The feature of an empty slot; its weight stays zero."""

TAGS, ATTRIBUTES = 4, 4
ITEM = 2 + TAGS + ATTRIBUTES
"""Columns of an item: itself, its duration, tags, and `key=value` attributes, the author among them."""
USER, SURFACE, HOUR = range(3)

Features = NDArray[np.int64]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def code(text: str) -> int:
    """The hash of a feature: 1 … BUCKETS − 1.

    >>> code("item=a") == code("item=a"), code("item=a") == code("item=b")
    (True, False)
    """
    return 1 + crc32(text.encode()) % (BUCKETS - 1)


def cross(a: Features, b: Features) -> Features:
    """Hashes of pairs of features, with broadcasting; NOTHING where one is.

    >>> cross(np.array([1, 0]), np.array([5, 5])).tolist()
    [467261, 0]
    """
    mixed = (a.astype(np.uint64) * np.uint64(BUCKETS) + b.astype(np.uint64)) * _MULTIPLIER
    pair = 1 + (mixed >> np.uint64(20)).astype(np.int64) % (BUCKETS - 1)
    return np.where((a != NOTHING) & (b != NOTHING), pair, NOTHING)


class Hasher:
    """Queries → features [n candidates, F]; items are hashed once."""

    def __init__(self, items: Sequence[Item], crosses: bool) -> None:
        self._items: dict[str, Features] = {item.item_id: _item(item) for item in items}
        self._crosses = crosses
        self._last: tuple[Sequence[str], Features] | None = None

    def __call__(self, query: Query) -> Features:
        """User, surface, hour and item features of every candidate; with their crosses, if asked for."""
        items = self._rows(query.candidates)
        moment = np.array(
            [
                code(f"user={query.user_id}"),
                code(f"surface={query.surface}"),
                code(f"hour={query.ts // 3_600_000 % 24}"),
            ]
        )
        shared = np.broadcast_to(moment, (len(items), len(moment)))
        columns = [shared, items]
        if self._crosses:
            user, surface, hour = (shared[:, column, None] for column in (USER, SURFACE, HOUR))
            columns += [cross(user, items[:, 1:]), cross(surface, items), cross(user, surface)]
            columns += [cross(surface, hour)]
        return np.concatenate(columns, axis=1)

    def _rows(self, candidates: Sequence[str]) -> Features:
        """Items [n, ITEM], kept while consecutive queries share one candidates object."""
        if self._last is None or self._last[0] is not candidates:
            self._last = (candidates, np.array([self._of(item_id) for item_id in candidates]))
        return self._last[1]

    def _of(self, item_id: str) -> Features:
        if item_id not in self._items:
            self._items[item_id] = _padded([code(f"item={item_id}")], ITEM)
        return self._items[item_id]


def _item(item: Item) -> Features:
    named: Mapping[str, object] = item.attributes
    tags = [code(f"tag={tag}") for tag in item.tags[:TAGS]]
    attributes = [code(f"{key}={named[key]}") for key in sorted(named)[:ATTRIBUTES]]
    duration = code(f"duration={_octave(item.duration_ms)}") if item.duration_ms else NOTHING
    return _padded([code(f"item={item.item_id}"), duration, *_padded(tags, TAGS), *attributes], ITEM)


def _octave(duration_ms: float) -> int:
    """Half octaves of a duration: a step is a factor of √2."""
    return int(2 * np.log2(1 + duration_ms / 1_000))


def _padded(codes: Sequence[int], width: int) -> Features:
    return np.array([*codes, *[NOTHING] * (width - len(codes))], np.int64)
