"""PURE: ids → rows of a bounded table. Row 0 stands for every id without a row of its own."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from learner.turnover import Turnover

UNKNOWN = 0


class RowIndex:
    """A bounded map of ids to row numbers 1 … capacity − 1; append-only, unless it has a `turnover`.

    >>> index = RowIndex(capacity=3)
    >>> index.admit("a"), index.admit("b"), index.admit("c"), index.admit("a")
    (1, 2, 0, 1)
    >>> index.lookup("c")
    0
    """

    def __init__(self, capacity: int, ids: Iterable[str] = ()) -> None:
        if capacity < 2:
            raise ValueError(f"RowIndex capacity must be at least 2; got {capacity}")
        self.capacity = capacity
        self.turnover: Turnover | None = None
        self._rows: dict[str, int] = {}
        self._ids: list[str] = [""]
        for key in ids:
            self.admit(key)

    def __len__(self) -> int:
        """Rows in use, row 0 included."""
        return len(self._ids)

    def lookup(self, key: str) -> int:
        """The row of an id, 0 if it has none."""
        return self._rows.get(key, UNKNOWN)

    def admit(self, key: str) -> int:
        """The row of an id, given now if it has none; 0 when no row can be had."""
        row = self._rows.get(key)
        if row is None:
            row = self._append(key) if len(self._ids) < self.capacity else self._take_over(key)
        if self.turnover is not None:
            self.turnover.touched[row] = self.turnover.clock
        return row

    def meet(self, keys: Sequence[str]) -> NDArray[np.int32]:
        """Rows of many ids, int32 [n]; those without get one if they were met often enough."""
        rows = self.rows(keys)
        if self.turnover is not None:
            self.turnover.mark(rows)
        for place in np.flatnonzero(rows == UNKNOWN).tolist():
            key = keys[place]
            if self.turnover is None or key in self._rows or self.turnover.is_due(key):
                rows[place] = self.admit(key)
        return rows

    def _append(self, key: str) -> int:
        row = len(self._ids)
        self._rows[key] = row
        self._ids.append(key)
        return row

    def _take_over(self, key: str) -> int:
        row = None if self.turnover is None else self.turnover.give()
        if row is None:
            return UNKNOWN
        del self._rows[self._ids[row]]
        self._rows[key] = row
        self._ids[row] = key
        return row

    def rows(self, keys: Sequence[str], admit: bool = False) -> NDArray[np.int32]:
        """Rows of many ids, int32 [n]."""
        found = map(self.admit, keys) if admit else map(self._rows.get, keys, repeat(UNKNOWN))
        return np.fromiter(found, dtype=np.int32, count=len(keys))

    def id_of(self, row: int) -> str:
        """The id of a row; the empty string for row 0."""
        return self._ids[row]

    def snapshot(self) -> list[str]:
        """Ids in row order, without row 0."""
        return self._ids[1:]

    def restore(self, ids: Sequence[str]) -> bool:
        """Take back what `snapshot` gave; rows beyond stay. Returns whether a row had another owner."""
        replaced = self._ids[1 : 1 + len(ids)] != ids[: len(self._ids) - 1]
        kept = ids if replaced else [*ids, *self._ids[1 + len(ids) :]]
        self._ids = ["", *kept]
        self._rows = {key: row for row, key in enumerate(self._ids) if row}
        return replaced


class Vocabulary:
    """The four row indexes of a ranker. `attributes` holds `key=value`, `contexts` holds `surface=…`."""

    NAMES = ("items", "users", "attributes", "contexts")
    CHANGING = ("items", "users")
    """Those whose rows may change owners. The others are words of the catalogue and the surfaces: what
    refers to them by number is not followed."""

    def __init__(self, capacities: Mapping[str, int], ids: Mapping[str, Sequence[str]]) -> None:
        self.items, self.users, self.attributes, self.contexts = (
            RowIndex(capacities[name], ids.get(name, ())) for name in self.NAMES
        )

    def index(self, name: str) -> RowIndex:
        """The index of that name."""
        found: RowIndex = getattr(self, name)
        return found

    def turn_over(self, admit_after: int, held_items: NDArray[np.bool_]) -> None:
        """From now on new ids wait for a row, and take over old ones, those of the base among them."""
        held = {"items": held_items, "users": np.zeros(self.users.capacity, np.bool_)}
        for name in self.CHANGING:
            index = self.index(name)
            index.turnover = Turnover(admit_after, held[name])

    def tick(self) -> int:
        """Let time pass for the turnover; returns the new time."""
        turnovers = self.turnovers()
        for turnover in turnovers.values():
            turnover.clock += 1
        return turnovers["items"].clock if turnovers else 0

    def drain(self) -> dict[str, NDArray[np.int64]]:
        """Rows that have a new owner since the last call."""
        return {name: turnover.drain() for name, turnover in self.turnovers().items()}

    def turnovers(self) -> dict[str, Turnover]:
        """The turnover of the indexes that have one."""
        found = {name: self.index(name).turnover for name in self.CHANGING}
        return {name: turnover for name, turnover in found.items() if turnover is not None}

    def snapshot(self) -> dict[str, list[str]]:
        """Ids of every index, in row order."""
        return {name: self.index(name).snapshot() for name in self.NAMES}
