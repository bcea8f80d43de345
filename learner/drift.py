"""PURE: ADWIN: has the mean of a sequence changed, and which part of the past still tells of the present?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Bucket = tuple[int, float, float]
"""Values that were folded together: how many, their mean, and the sum of their squared deviations from it."""

_BUCKETS: Final = 48
_SHORTEST: Final = 5
"""Fewest values on either side of a cut."""


@dataclass(frozen=True, slots=True)
class Change:
    """The means before and after a change."""

    before: float
    after: float


class Adwin:
    """A window over values of about 0 to 1 that drops its older part when its mean differs from the rest's.

    The window is kept as buckets, the longer the older: a fold costs the same whatever the window's length
    and however many values come at once. `confidence` is the chance of a false alarm at each check.
    Source: Bifet and Gavaldà, Learning from Time-Changing Data with Adaptive Windowing (SDM 2007); a test
    holds it together with river's, whose state cannot be read.

    >>> detector = Adwin(confidence=0.002)
    >>> [n for n in range(100) if detector.fold([float(n >= 50)])]
    [70]
    """

    def __init__(self, confidence: float = 0.002) -> None:
        self.confidence = confidence
        self._buckets: list[Bucket] = []  # oldest first

    def __len__(self) -> int:
        """Values in the window."""
        return sum(count for count, _, _ in self._buckets)

    def fold(self, values: Sequence[float]) -> Change | None:
        """Take the next values; a change is told once, and what was before it is forgotten."""
        if values:
            self._buckets.append(_merge([(1, value, 0.0) for value in values]))
        while len(self._buckets) > _BUCKETS:
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
        """Merge the two neighbours that are shortest for their age."""
        newer, best, place = 0, math.inf, 0
        for n in range(len(self._buckets) - 1, 0, -1):
            pair = self._buckets[n][0] + self._buckets[n - 1][0]
            if pair / (newer + _SHORTEST) < best:
                best, place = pair / (newer + _SHORTEST), n
            newer += self._buckets[n][0]
        self._buckets[place - 1 : place + 1] = [_merge(self._buckets[place - 1 : place + 1])]

    def _cut(self) -> int | None:
        """Where the window should begin: the first cut whose sides differ by more than chance."""
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


def _merge(buckets: Sequence[Bucket]) -> Bucket:
    count, mean, deviation = 0, 0.0, 0.0
    for n, m, d in buckets:
        together = count + n
        # Chan, Golub and LeVeque: the deviations within the two, and that between them.
        deviation += d + (m - mean) ** 2 * count * n / together
        mean += (m - mean) * n / together
        count = together
    return count, mean, deviation
