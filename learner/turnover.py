"""PURE: which new ids get a row of a bounded table, and whose row they get when it is full."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUEUE = 256
_NONE = np.zeros(0, np.int64)

Waiting = tuple[str, int, int]
"""An id without a row, how often it was met, and when last."""


class Turnover:
    """When each row was touched last, in ticks of a clock that its owner moves, and who waits for a row.

    A row that was touched in this tick is never given away, nor row 0, nor one in the mask `held`. `born`
    says when each row was given to its owner, `latest` when any was. At most as many ids wait as the table
    has rows: those met longest ago are forgotten.
    """

    def __init__(self, admit_after: int, held: NDArray[np.bool_]) -> None:
        """`held` [capacity] is looked at, not copied: it is the catalogue's."""
        self.clock = 0
        self._admit_after, self._held = admit_after, held
        self.touched = np.zeros(len(held), np.int64)
        self.born = np.zeros(len(held), np.int64)
        self.latest = 0
        self._given: list[int] = []
        self._queue: list[tuple[int, int]] = []
        self._waiting: dict[str, tuple[int, int]] = {}

    def mark(self, rows: NDArray[np.integer]) -> None:
        """Say that rows are in use now."""
        self.touched[rows] = self.clock

    def is_due(self, key: str) -> bool:
        """Count a meeting with an id that has no row, once a tick; is it the one at which it gets one?"""
        if self._admit_after <= 1:
            return True
        met, last = self._waiting.pop(key, (0, -1))
        met += last != self.clock
        if met >= self._admit_after:
            return True
        self._waiting[key] = met, self.clock
        if len(self._waiting) > len(self._held):
            del self._waiting[next(iter(self._waiting))]
        return False

    def give(self) -> int | None:
        """The row that was not touched for longest, for a new owner; None where all have to stay."""
        row = self._next()
        if row is not None:
            self.latest = self.born[row] = self.touched[row] = self.clock
            self._given.append(row)
        return row

    def spare(self) -> int:
        """How many rows could be given away now."""
        return int(np.count_nonzero(self._free()[1:]))

    def _free(self) -> NDArray[np.bool_]:
        # Not those of this tick: they may be given away later, and then together with others of it.
        return ~self._held & (self.touched < self.clock)

    def _next(self) -> int | None:
        for _ in range(2):  # a queue, or else a new one: rows may have been touched since it was made
            while self._queue:
                row, touched = self._queue.pop()
                if self.touched[row] == touched and not self._held[row]:
                    return row
            self._queue = self._oldest()
        return None

    def _oldest(self) -> list[tuple[int, int]]:
        """Rows that may be given away and when they were touched, the oldest at the end."""
        free = np.flatnonzero(self._free())
        order = free[np.argsort(self.touched[free], kind="stable")][:_QUEUE]
        oldest = zip(order.tolist(), self.touched[order].tolist(), strict=True)
        return [(row, at) for row, at in oldest if row][::-1]

    def drain(self) -> NDArray[np.int64]:
        """Rows that were given to new owners since the last call, [n]."""
        if not self._given:  # as after almost every label
            return _NONE
        given, self._given = self._given, []
        return np.unique(np.array(given, np.int64))

    def snapshot(self) -> dict[str, NDArray[np.int64]]:
        """Ticks by row, and the clock. Rows that are held count as touched now: who restores this may
        have to wait for the catalogue that holds them."""
        touched = np.where(self._held, self.clock, self.touched)
        return {"touched": touched, "born": self.born.copy(), "clock": np.array([self.clock])}

    def waiting(self) -> list[Waiting]:
        """Who waits, met longest ago first."""
        return [(key, met, last) for key, (met, last) in self._waiting.items()]

    def restore(self, state: Mapping[str, NDArray[Any]], waiting: Sequence[Waiting]) -> None:
        """Take back what `snapshot` and `waiting` gave."""
        self.touched[:], self.born[:] = state["touched"], state["born"]
        self.clock, self.latest = int(state["clock"][0]), int(self.born.max())
        self._waiting = {key: (met, last) for key, met, last in waiting}
        self._queue, self._given = [], []
