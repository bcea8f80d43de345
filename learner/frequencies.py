"""PURE: how large a part of a stream each of very many keys is, in memory that does not grow with them."""

from collections.abc import Mapping
from copy import copy

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)


class CountMin:
    """A count-min sketch, aged: once `horizon` was counted, all counts are halved.

    A key's count is never below the truth (of the counts kept), and above it by more than e·total/2^bits
    with probability e^−4 at most. Source: Cormode and Muthukrishnan, Journal of Algorithms 2005.

    >>> sketch = CountMin()
    >>> sketch.add(np.array([7, 7, 7, 9]))
    >>> sketch.shares(np.array([7, 9, 8])).tolist()
    [0.75, 0.25, 0.0]
    """

    def __init__(self, bits: int = 14, horizon: int = 200_000) -> None:
        """Each of 4 rows has 2^bits cells."""
        self._shift = np.uint64(64 - bits)
        self._horizon = horizon
        self._cells = np.zeros((len(_MULTIPLIERS), 2**bits), np.float32)
        self._total = 0.0

    def add(self, keys: NDArray[np.integer]) -> None:
        """Count keys [n]."""
        for cells, columns in zip(self._cells, self._columns(keys), strict=True):
            np.add.at(cells, columns, 1.0)
        self._total += len(keys)
        if self._total > self._horizon:
            self._cells /= 2
            self._total /= 2

    def shares(self, keys: NDArray[np.integer]) -> NDArray[np.float32]:
        """The share of all that was counted that each key is, float32 [n]."""
        rows = np.arange(len(self._cells))[:, None]
        counts: NDArray[np.float32] = self._cells[rows, self._columns(keys)].min(0)
        return counts / np.float32(max(self._total, 1.0))

    def copy(self) -> "CountMin":
        """The same counts, to be changed apart from these."""
        other = copy(self)
        other._cells = self._cells.copy()
        return other

    def snapshot(self) -> dict[str, NDArray[np.floating]]:
        """Cells and total."""
        return {"cells": self._cells.copy(), "total": np.array([self._total])}

    def restore(self, state: Mapping[str, NDArray[np.floating]]) -> None:
        """Take back what `snapshot` gave."""
        self._cells[:] = state["cells"]
        self._total = float(state["total"][0])

    def _columns(self, keys: NDArray[np.integer]) -> NDArray[np.uint64]:
        """Multiply-shift hashing (Dietzfelbinger et al., 1997), [rows, n]."""
        with np.errstate(over="ignore"):
            hashed: NDArray[np.uint64] = (keys.astype(np.uint64)[None] * _MULTIPLIERS[:, None]) >> self._shift
        return hashed
