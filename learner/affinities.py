"""PURE: which items go together, and which are popular now: counts that move with every engagement.

They are features of the model where it ranks a catalogue (`learner.match`) and sources of its candidates
(`learner.shortlist`). A checkpoint carries the engagements since its parent, some hundred bytes each, and a
scorer folds them as the learner did.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learner.cooccurrence import Neighbours
from schemas.opinions import LIKED

WINDOW = 20
"""An engagement makes a pair with each of so many before it."""

NEIGHBOURS = 512
"""Most neighbours of one item in one table; the weakest gives way."""

DAYS = np.array([1.0, 7.0, 30.0, 365.0], np.float32)
"""Popularity fades with these time constants."""


_DAY_MS = 86_400_000
_FADING = 0.85
"""Weight of an item that lies one step further back."""

TABLES = ("liked", "touched")
"""Pairs of which both were liked, and pairs that were engaged with in any way."""

TOUCHED, LIKES, PLEASED = range(3)

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]


class Engagement(NamedTuple):
    """An item the user engaged with, and up to WINDOW before it, newest first, as rows."""

    row: int
    ts: int
    satisfaction: float
    recent: Ints
    recent_liked: Bools


class Near(NamedTuple):
    """How much each row belongs to a session, by every table; all float32 [rows]."""

    liked: Floats
    touched: Floats


class Affinities:
    """Weighted neighbours of every item, how often each was engaged with, and how lately."""

    def __init__(self, capacity: int) -> None:
        self._tables: dict[str, dict[int, Neighbours]] = {name: {} for name in TABLES}
        self._shared: dict[str, set[int]] = {name: set() for name in TABLES}
        self._crowded: dict[str, set[int]] = {name: set() for name in TABLES}  # who may have lost a neighbour
        self.counts = np.zeros((capacity, 3), np.float32)
        self._fading = np.zeros((capacity, len(DAYS)), np.float32)
        self._last_ts = np.zeros(capacity, np.int64)

    def fold(self, engagement: Engagement) -> None:
        """Count one engagement and the pairs that it makes."""
        row, ts = engagement.row, engagement.ts
        if not row:
            return
        liked = engagement.satisfaction >= LIKED
        self.counts[row] += (1.0, liked, engagement.satisfaction - LIKED)
        self._fading[row] = self.popularity(np.array([row]), ts)[0] + 1
        self._last_ts[row] = max(ts, self._last_ts[row])
        self._pair("touched", row, engagement.recent)
        if liked:
            self._pair("liked", row, engagement.recent[engagement.recent_liked])

    def _pair(self, name: str, row: int, others: Ints) -> None:
        for age, other in enumerate(others.tolist()):
            if other and other != row:
                self._add(name, other, row, _FADING**age)
                self._add(name, row, other, _FADING**age)

    def _add(self, name: str, row: int, other: int, weight: float) -> None:
        near = self._own(name, row)
        near.add(other, weight, NEIGHBOURS)
        if len(near) == NEIGHBOURS:
            self._crowded[name].add(row)

    def _own(self, name: str, row: int) -> Neighbours:
        """The neighbours of a row, to be changed: nobody else's."""
        table = self._tables[name]
        if row not in table:
            table[row] = Neighbours()
        elif row in self._shared[name]:
            table[row] = table[row].copy()
        self._shared[name].discard(row)
        return table[row]

    def forget(self, rows: NDArray[np.integer]) -> None:
        """Forget rows, as one and as the other of a pair."""
        self.counts[rows], self._fading[rows], self._last_ts[rows] = 0, 0, 0
        for name, table in self._tables.items():
            for owner in self._owners(name, rows.tolist()):
                near, weights = table[owner].used()
                kept = ~np.isin(near, rows)
                if not kept.all():
                    table[owner] = Neighbours(near[kept], weights[kept])
                    self._shared[name].discard(owner)
            for row in rows.tolist():
                table.pop(row, None)
                self._crowded[name].discard(row)

    def _owners(self, name: str, rows: Sequence[int]) -> list[int]:
        """Whose neighbours may be among `rows`: their own neighbours, unless one has had too many to know."""
        table = self._tables[name]
        if not self._crowded[name].isdisjoint(rows):
            return list(table)
        near = {int(other) for row in rows if row in table for other in table[row].used()[0]}
        return [owner for owner in near if owner in table]

    def popularity(self, rows: NDArray[np.integer], ts: int) -> Floats:
        """Engagements of rows [n], fading with age, float32 [n, len(DAYS)]."""
        age = np.maximum(ts - self._last_ts[rows], 0)[:, None] / (DAYS * _DAY_MS)
        faded: Floats = (self._fading[rows] * np.exp(-age)).astype(np.float32)
        return faded

    def near(self, session: Ints, liked: Bools, rows: int) -> Near:
        """What belongs to a session, whose rows [l] come oldest first, among the first `rows` rows."""
        newest, likes = session[::-1], session[::-1][liked[::-1]]
        return Near(self._near("liked", likes, rows), self._near("touched", newest, rows))

    def _near(self, name: str, newest: Ints, rows: int) -> Floats:
        """Σ fading^age · weight(pair) / √(count of the session's item + 1), [rows]."""
        table = self._tables[name]
        count = self.counts[:, LIKES if name == "liked" else TOUCHED]
        numbers, weights = [], []
        for age, row in enumerate(newest[:WINDOW].tolist()):
            if row in table:
                numbers.append(table[row].rows)
                weights.append(table[row].weights * (_FADING**age / np.sqrt(count[row] + 1)))
        if not numbers:
            return np.zeros(rows, np.float32)
        summed = np.bincount(np.concatenate(numbers), np.concatenate(weights), rows)
        return summed[:rows].astype(np.float32)

    def copy(self) -> "Affinities":
        """The same, each to be changed apart from the other; what does not change stays shared."""
        other = copy(self)
        other._tables = {name: dict(table) for name, table in self._tables.items()}
        for one in (self, other):
            one._shared = {name: set(table) for name, table in self._tables.items()}
        other._crowded = {name: set(rows) for name, rows in self._crowded.items()}
        other.counts, other._fading = self.counts.copy(), self._fading.copy()
        other._last_ts = self._last_ts.copy()
        return other

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """All of it as arrays over the rows in use, `<table>.owner|row|weight` [pairs] among them.

        `<table>.crowded` are the rows that may have lost a neighbour.
        """
        used = int(np.flatnonzero(self.counts[:, TOUCHED]).max(initial=-1)) + 1
        state: dict[str, NDArray[np.generic]] = {
            "counts": self.counts[:used].copy(),
            "fading": self._fading[:used].copy(),
            "last_ts": self._last_ts[:used].copy(),
        }
        for name, table in self._tables.items():
            near = [neighbours.used() for neighbours in table.values()]
            sizes = [len(rows) for rows, _ in near]
            state[f"{name}.owner"] = np.repeat(np.array(list(table), np.int32), sizes)
            state[f"{name}.row"] = np.concatenate([np.zeros(0, np.int32), *(rows for rows, _ in near)])
            state[f"{name}.weight"] = np.concatenate([np.zeros(0, np.float32), *(w for _, w in near)])
            state[f"{name}.crowded"] = np.array(sorted(self._crowded[name]), np.int32)
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Replace all by what `snapshot` gave."""
        for name, array in (("counts", self.counts), ("fading", self._fading), ("last_ts", self._last_ts)):
            array[:] = 0
            array[: len(state[name])] = state[name]
        for name in TABLES:
            owners, rows, weights = (state[f"{name}.{part}"] for part in ("owner", "row", "weight"))
            cuts = np.flatnonzero(np.diff(owners)) + 1
            parts = zip(np.split(owners, cuts), np.split(rows, cuts), np.split(weights, cuts), strict=True)
            self._tables[name] = {int(o[0]): Neighbours(r, w) for o, r, w in parts if len(o)}
            self._shared[name] = set()
            self._crowded[name] = set(state[f"{name}.crowded"].tolist())
