"""PURE: ids → rows of a bounded table. Row 0 stands for every id without a row of its own."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

UNKNOWN = 0


class RowIndex:
    """A bounded, append-only map of ids to row numbers 1 … capacity − 1.

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
        """The row of an id, given now if it has none; 0 when the table is full."""
        row = self._rows.get(key)
        if row is not None:
            return row
        if len(self._ids) >= self.capacity:
            return UNKNOWN
        row = len(self._ids)
        self._rows[key] = row
        self._ids.append(key)
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


class Vocabulary:
    """The four row indexes of a ranker. `attributes` holds `key=value`, `contexts` holds `surface=…`."""

    NAMES = ("items", "users", "attributes", "contexts")

    def __init__(self, capacities: Mapping[str, int], ids: Mapping[str, Sequence[str]]) -> None:
        self.items, self.users, self.attributes, self.contexts = (
            RowIndex(capacities[name], ids.get(name, ())) for name in self.NAMES
        )

    def index(self, name: str) -> RowIndex:
        """The index of that name."""
        found: RowIndex = getattr(self, name)
        return found

    def snapshot(self) -> dict[str, list[str]]:
        """Ids of every index, in row order."""
        return {name: self.index(name).snapshot() for name in self.NAMES}
