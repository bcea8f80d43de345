"""PURE: items that came when every row was another's, and when there is one for them."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from learner.rows import RowIndex
from schemas.events import Item


class LeftOut:
    """The newest items that a table had no row for, at most as many as it has rows."""

    def __init__(self, rows: RowIndex) -> None:
        self._rows = rows
        self._items: dict[str, Item] = {}

    def note(self, items: Sequence[Item], rows: NDArray[np.integer]) -> int:
        """Remember those of these items that got row 0; returns how many."""
        for item, row in zip(items, rows.tolist(), strict=True):
            self._items.pop(item.item_id, None)
            if not row:
                self._items[item.item_id] = item
        while len(self._items) > self._rows.capacity:
            del self._items[next(iter(self._items))]
        return int((rows == 0).sum())

    def remove(self, item_id: str) -> None:
        """Forget an item: it is no candidate any more."""
        self._items.pop(item_id, None)

    def ready(self, given: Iterable[int]) -> list[Item]:
        """Those that are by now the owners of rows just `given`, and as many as there are rows to spare."""
        if not self._items or self._rows.turnover is None:
            return []
        own = [item_id for item_id in map(self._rows.id_of, given) if item_id in self._items]
        ids = dict.fromkeys([*own, *islice(self._items, self._rows.turnover.spare())])
        return [self._items[item_id] for item_id in ids]
