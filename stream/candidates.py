"""PURE: what there is to recommend, and which of it is worth scoring for one user."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from schemas.events import Item
from schemas.labels import Session

WHOLE = 2_000
"""Up to this many items are all scored: one matrix product; beyond it, a first stage chooses.

A refresh scores this for 64 users after every swap: with 5,000 it took longer than the next swap needed.
"""

POPULAR, RECENT, SIMILAR = 500, 250, 500
"""How many of each kind the first stage lets through."""

SEEDS = 5
"""The user's last items whose tags count as what the session is about."""


class Assortment:
    """The items of the catalogue by id: their tags and durations, in the order in which they came."""

    def __init__(self) -> None:
        self._tags: dict[str, tuple[str, ...]] = {}
        self._durations: dict[str, float] = {}
        self._tagged: dict[str, dict[str, None]] = {}
        self._common: tuple[Sequence[str], dict[str, None]] | None = None

    def __len__(self) -> int:
        return len(self._tags)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._tags

    @property
    def chooses(self) -> bool:
        """Whether there is too much to score it all."""
        return len(self._tags) > WHOLE

    def put(self, item: Item) -> None:
        """Add an item, or replace it; either way it is now the most recent."""
        self.remove(item.item_id)
        self._tags[item.item_id] = tuple(item.tags)
        if item.duration_ms is not None:
            self._durations[item.item_id] = item.duration_ms
        for tag in item.tags:
            self._tagged.setdefault(tag, {})[item.item_id] = None

    def remove(self, item_id: str) -> None:
        """Take an item out; nothing happens if it is not there."""
        self._durations.pop(item_id, None)
        self._common = None
        for tag in self._tags.pop(item_id, ()):
            self._tagged.get(tag, {}).pop(item_id, None)

    def tags(self, item_id: str) -> tuple[str, ...]:
        """The tags of an item; none of an unknown one."""
        return self._tags.get(item_id, ())

    def duration(self, item_id: str) -> float | None:
        """How long an item lasts, in ms, if that is known."""
        return self._durations.get(item_id)

    def candidates(self, session: Session, popular: Sequence[str]) -> list[str]:
        """What to score: everything, or the popular, the recent and the similar, each id once.

        >>> shelf = Assortment()
        >>> shelf.put(Item(item_id="a", ts=0, title="A", tags=["jazz"]))
        >>> shelf.candidates(Session(), popular=[])
        ['a']
        """
        if not self.chooses:
            return list(self._tags)
        chosen = self._for_everyone(popular).copy()
        similar = self._similar(item.item_id for item in reversed(session.recent))
        chosen.update(dict.fromkeys(islice(similar, SIMILAR)))
        return list(chosen)

    def _for_everyone(self, popular: Sequence[str]) -> dict[str, None]:
        """The popular and the recent, kept while callers share one `popular` object and no item changes."""
        if self._common is None or self._common[0] is not popular:
            known = (item_id for item_id in islice(popular, POPULAR) if item_id in self._tags)
            self._common = popular, dict.fromkeys(chain(known, islice(reversed(self._tags), RECENT)))
        return self._common[1]

    def _similar(self, newest_first: Iterable[str]) -> Iterator[str]:
        """Items that share a tag with the last ones of the session, newest first."""
        seeds = islice(newest_first, SEEDS)
        tags = dict.fromkeys(chain.from_iterable(self.tags(seed) for seed in seeds))
        return chain.from_iterable(reversed(self._tagged[tag]) for tag in tags)
