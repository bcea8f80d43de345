"""PURE: items that users like one after the other, counted as they come, near ones more than far ones."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

from learner.controls import CLICK, CandidateRows
from learner.ledger import Ledger
from learner.query import TASKS, Query
from learner.rows import RowIndex
from schemas.labels import LabeledSlate, Session
from schemas.opinions import LIKED

WINDOW = 20
DECAY = 0.85
"""Weight of an item that lies one step further back."""


Floats = NDArray[np.floating]


class Neighbours:
    """The bounded neighbours of one item: rows and weights side by side, the weakest replaced when full."""

    __slots__ = ("_slots", "_used", "rows", "weights")

    def __init__(self, rows: NDArray[np.int32] | None = None, weights: Floats | None = None) -> None:
        """None yet, or those given, [n] each."""
        self._used = 0 if rows is None else len(rows)
        self.rows = np.zeros(8, np.int32) if rows is None else np.array(rows, np.int32)
        self.weights = np.zeros(8, np.float32) if weights is None else np.array(weights, np.float32)
        self._slots: dict[int, int] | None = None  # most are only ever read

    def __len__(self) -> int:
        """Neighbours held."""
        return self._used

    def copy(self) -> "Neighbours":
        """The same, to be changed apart from these."""
        return Neighbours(*self.used())

    def used(self) -> tuple[NDArray[np.int32], Floats]:
        """Rows and weights without empty slots, [n] each."""
        return self.rows[: self._used], self.weights[: self._used]

    def add(self, row: int, weight: float, capacity: int) -> None:
        """Add to the weight of a neighbour."""
        if self._slots is None:
            self._slots = {int(known): slot for slot, known in enumerate(self.rows[: self._used])}
        slot = self._slots.get(row)
        if slot is None:
            slot = self._slots[row] = self._new_slot(row, capacity, self._slots)
        self.weights[slot] += weight

    def _new_slot(self, row: int, capacity: int, slots: dict[int, int]) -> int:
        if self._used < capacity:
            slot = self._used
            self._used += 1
            if slot == len(self.rows):
                self.rows = np.concatenate([self.rows, np.zeros(max(8, slot), np.int32)])
                self.weights = np.concatenate([self.weights, np.zeros(max(8, slot), np.float32)])
        else:
            slot = int(self.weights[: self._used].argmin())
            del slots[int(self.rows[slot])]
        self.rows[slot], self.weights[slot] = row, 0.0
        return slot


class ItemKnn:
    """`itemknn`: incremental co-occurrence within a window of a user's likes.

    Each like adds DECAY^distance to the pair it makes with each of the user's last WINDOW likes. A
    candidate's score is the sum over those likes, discounted once more, of the pair's weight over the square
    root of the liked item's likes and the fourth root of the candidate's own: less than a cosine takes from
    popular items, as fits a list of ten. Only the order of scores means something; they lie in [0, 1).
    """

    published_bytes: Sequence[int] = ()

    def __init__(self, capacity: int = 2**16, neighbours: int = 2_000) -> None:
        """Bound the items, and the neighbours of one item."""
        self._index = RowIndex(capacity)
        self._rows = CandidateRows(self._index)
        self._neighbours: dict[int, Neighbours] = {}
        self._bound = neighbours
        self._likes = np.zeros(capacity)
        self._ledger = Ledger(2**18)

    @property
    def trained_parameters(self) -> int:
        """Weights of pairs."""
        return sum(len(near.weights) for near in self._neighbours.values())

    def score(self, queries: Sequence[Query]) -> list[Floats]:
        """Scores per query, [n_candidates, tasks], the same for every task."""
        return [self._score_one(query) for query in queries]

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Pair each new like with the user's likes before it."""
        for slate in slates:
            for target in self._ledger.admit(slate):
                if target.weights[CLICK] and target.targets[CLICK]:
                    self._like(target.item_id, slate.session)
        self._rows.forget()

    def publish(self) -> None:
        """Nothing to do: counts are in force as they are made."""

    def serving(self) -> "ItemKnn":
        """A copy."""
        return deepcopy(self)

    def _score_one(self, query: Query) -> Floats:
        near = np.zeros(len(self._index))
        for age, item_id in enumerate(recent_likes(query.session)):
            row = self._index.lookup(item_id)
            if row in self._neighbours:
                self._add_neighbours(near, row, DECAY**age)
        scores = near / (self._likes[: len(near)] + 1) ** 0.25
        squashed: Floats = scores / (1 + scores)
        return np.repeat(squashed[self._rows(query.candidates), None], len(TASKS), axis=1)

    def _add_neighbours(self, near: Floats, row: int, weight: float) -> None:
        neighbours = self._neighbours[row]
        # Rows within one item's neighbours are distinct but for unused slots, whose weight is 0.
        np.add.at(near, neighbours.rows, neighbours.weights * (weight / np.sqrt(self._likes[row] + 1)))

    def _like(self, item_id: str, session: Session) -> None:
        row = self._index.admit(item_id)
        self._likes[row] += 1
        for age, other in enumerate(recent_likes(session)):
            before = self._index.admit(other)
            if row and before and before != row:
                self._pair(before, row, DECAY**age)
                self._pair(row, before, DECAY**age)

    def _pair(self, row: int, other: int, weight: float) -> None:
        if row not in self._neighbours:
            self._neighbours[row] = Neighbours()
        self._neighbours[row].add(other, weight, self._bound)


def recent_likes(session: Session) -> list[str]:
    """The last WINDOW items that the user clicked, liked or rated well, newest first."""
    liked = [
        item.item_id
        for item in reversed(session.recent)
        if item.action in ("click", "like") or (item.satisfaction or 0.0) >= LIKED
    ]
    return liked[:WINDOW]
