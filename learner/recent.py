"""PURE: many sessions side by side, so that one pass of numpy serves them all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Recent:
    """The last items of B sessions, [B, l]: the newest in the last column, shorter ones behind zeros.

    `rows` are item rows, `satisfaction` is −1 where it is not known, and where there is no item;
    `ages_s` are seconds; `lengths` [B] says how many items there are.
    """

    rows: Ints
    satisfaction: Floats
    ages_s: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def of(self, numbers: NDArray[np.integer]) -> "Recent":
        """Sessions by number, in any order and with repetitions."""
        return Recent(
            self.rows[numbers], self.satisfaction[numbers], self.ages_s[numbers], self.lengths[numbers]
        )


def side_by_side(
    rows: Ints, satisfaction: Floats, ages_s: NDArray[np.float64], lengths: NDArray[np.int64]
) -> Recent:
    """Lay out sessions that come one behind the other, each oldest first.

    >>> recent = side_by_side(
    ...     np.array([4, 5, 6]), np.array([0.5, 1.0, 0.25]), np.zeros(3), lengths=np.array([2, 1])
    ... )
    >>> recent.rows.tolist(), recent.satisfaction.tolist()
    ([[4, 5], [0, 6]], [[0.5, 1.0], [-1.0, 0.25]])
    """
    longest = max(int(lengths.max(initial=0)), 1)
    there = np.arange(longest) >= longest - lengths[:, None]

    def laid(values: NDArray[Any], dtype: type, nothing: float) -> NDArray[Any]:
        out: NDArray[Any] = np.full(there.shape, nothing, dtype)
        out[there] = values
        return out

    return Recent(
        rows=laid(rows, np.int32, 0),
        satisfaction=laid(satisfaction, np.float32, -1),
        ages_s=laid(ages_s, np.float64, 0),
        lengths=lengths,
    )
