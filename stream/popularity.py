"""PURE: clicks per item with exponential forgetting, the fallback ranking before there is a model."""

import heapq
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.labels import LabeledSlate

NO_CHECKPOINT = "no checkpoint yet"
"""`degraded` of an answer that popularity gave."""

HALF_LIFE_MS = 6 * 3_600_000


class Popularity:
    """Decayed click counts by item."""

    def __init__(self, half_life_ms: int = HALF_LIFE_MS) -> None:
        """A click counts half after `half_life_ms` of event time."""
        raise NotImplementedError

    def fold(self, label: LabeledSlate) -> None:
        """Count the clicks that this revision is the first to tell."""
        raise NotImplementedError

    def score(self, item_ids: Sequence[str]) -> NDArray[np.float64]:
        """Return the popularity of each item, shape [n], 0 for unknown ones; comparable among themselves."""
        raise NotImplementedError

    def top(self, k: int) -> list[str]:
        """Return the k most popular items, best first, ties by id."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """Return the whole state."""
        raise NotImplementedError

    @classmethod
    def restore(cls, raw: bytes) -> "Popularity":
        """Go on from a snapshot."""
        raise NotImplementedError
