"""PURE: clicks per item with exponential forgetting, the fallback ranking before there is a model."""

import heapq
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.labels import FEEDBACK_SURFACE, LabeledSlate

NO_CHECKPOINT = "no checkpoint yet"
"""`degraded` of an answer that popularity gave."""

HALF_LIFE_MS = 6 * 3_600_000
_RENORMALISE = 2.0**40
"""Weights grow with time. Beyond this they are brought back to 1, and what is now tiny is forgotten."""


class _State(msgspec.Struct):
    half_life_ms: int
    landmark_ts: int | None = None
    counts: dict[str, float] = {}


class Popularity:
    """Click counts by item, each click weighed by trust · 2^((ts - landmark) / half-life).

    Forward decay (Cormode et al. 2009): a click is one addition, and the counts need no ageing; they are
    comparable among themselves at any time.
    """

    def __init__(self, half_life_ms: int = HALF_LIFE_MS) -> None:
        """A click counts half after `half_life_ms` of event time."""
        self._state = _State(half_life_ms)

    def fold(self, label: LabeledSlate) -> None:
        """Count the clicks that this revision is the first to tell.

        Every click is told by a revision of its own before any that is final, except feedback's.
        """
        for outcome in label.outcomes:
            if outcome.clicked and (not outcome.final or label.surface == FEEDBACK_SURFACE):
                weight = self._weight(label.observed_ts) * outcome.trust
                self._state.counts[outcome.item_id] = self._state.counts.get(outcome.item_id, 0.0) + weight

    def score(self, item_ids: Sequence[str]) -> NDArray[np.float64]:
        """Return the popularity of each item, shape [n], 0 for unknown ones; comparable among themselves."""
        return np.array([self._state.counts.get(item_id, 0.0) for item_id in item_ids], np.float64)

    def top(self, k: int) -> list[str]:
        """Return the k most popular items, best first, ties by id."""
        best = heapq.nsmallest(k, self._state.counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return [item_id for item_id, _ in best]

    def snapshot(self) -> bytes:
        """Return the whole state."""
        return msgspec.json.encode(self._state)

    @classmethod
    def restore(cls, raw: bytes) -> "Popularity":
        """Go on from a snapshot."""
        popularity = cls()
        popularity._state = msgspec.json.decode(raw, type=_State)
        return popularity

    def _weight(self, ts: int) -> float:
        state = self._state
        if state.landmark_ts is None:
            state.landmark_ts = ts
        age = (ts - state.landmark_ts) / state.half_life_ms
        weight: float = 2.0 ** min(1000.0, max(-1000.0, age))  # the bounds keep it a normal float
        if weight <= _RENORMALISE:
            return weight
        state.counts = {i: c / weight for i, c in state.counts.items() if c / weight > 1 / _RENORMALISE}
        state.landmark_ts = ts
        return 1.0
