"""PURE: ADWIN: has the mean of a sequence changed, and which part of the past still tells of the present?"""

import math
from dataclasses import dataclass
from typing import Final

Bucket = tuple[int, float, float]
"""Values that were folded together: how many, their mean, and the sum of their squared deviations from it."""

_PER_SIZE: Final = 5
_SHORTEST: Final = 5
"""Fewest values on either side of a cut."""


@dataclass(frozen=True, slots=True)
class Change:
    """The means before and after a change."""

    before: float
    after: float


class Adwin:
    """A window over values of about 0 to 1 that drops its older part when its mean differs from the rest's.

    The window is kept as buckets of 1, 2, 4 … values, at most five of a size, so that n values cost
    O(log n). `confidence` is the chance of a false alarm at each check. Unlike river's ADWIN it can be
    snapshotted; a test holds the two together.
    Source: Bifet and Gavaldà, Learning from Time-Changing Data with Adaptive Windowing (SDM 2007).

    >>> detector = Adwin(confidence=0.002)
    >>> [n for n in range(100) if detector.fold(float(n >= 50))]
    [71]
    """

    def __init__(self, confidence: float = 0.002) -> None:
        self.confidence = confidence
        self._buckets: list[Bucket] = []  # oldest, and so largest, first

    def __len__(self) -> int:
        """Values in the window."""
        return sum(count for count, _, _ in self._buckets)

    def fold(self, value: float) -> Change | None:
        """Take the next value; a change is told once, and what was before it is forgotten."""
        self._buckets.append((1, value, 0.0))
        self._compress()
        change = None
        while (cut := self._cut()) is not None:
            change = Change(_merge(self._buckets[:cut])[1], _merge(self._buckets[cut:])[1])
            del self._buckets[:cut]
        return change

    def snapshot(self) -> list[Bucket]:
        """The window's buckets, oldest first."""
        return list(self._buckets)

    def restore(self, buckets: list[Bucket]) -> None:
        """Take back an earlier `snapshot`."""
        self._buckets = list(buckets)

    def _compress(self) -> None:
        size = 1
        while True:
            places = [place for place, bucket in enumerate(self._buckets) if bucket[0] == size]
            if len(places) <= _PER_SIZE:
                return
            first = places[0]
            self._buckets[first : first + 2] = [_merge(self._buckets[first : first + 2])]
            size *= 2

    def _cut(self) -> int | None:
        """Where the window should end: the first cut whose sides differ by more than chance."""
        total, mean, deviation = _merge(self._buckets)
        if total < 2 * _SHORTEST:
            return None
        log_term = math.log(2 * math.log(total) / self.confidence)
        older, older_sum = 0, 0.0
        for place, (count, bucket_mean, _) in enumerate(self._buckets[:-1], start=1):
            older, older_sum = older + count, older_sum + count * bucket_mean
            newer = total - older
            if older < _SHORTEST or newer < _SHORTEST:
                continue
            difference = older_sum / older - (total * mean - older_sum) / newer
            harmonic = 1 / (older - _SHORTEST + 1) + 1 / (newer - _SHORTEST + 1)
            bound = math.sqrt(2 * harmonic * deviation / total * log_term) + 2 / 3 * harmonic * log_term
            if abs(difference) > bound:
                return place
        return None


def _merge(buckets: list[Bucket]) -> Bucket:
    count, mean, deviation = 0, 0.0, 0.0
    for n, m, d in buckets:
        together = count + n
        # Chan, Golub and LeVeque: the deviations within the two, and that between them.
        deviation += d + (m - mean) ** 2 * count * n / together
        mean += (m - mean) * n / together
        count = together
    return count, mean, deviation
