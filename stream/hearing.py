"""PURE: the wall clock as far as the broker was heard: while it is silent, no time passes for open slates."""

from typing import Final

DEAF_MS: Final = 3_000
"""A broker with nothing to tell answers every second; one that does not answer for so long is not there."""

REGAIN_MS: Final = 10_000
"""How long producers take, once it is back, to send what they held: topic by topic, in no common order."""


class Hearing:
    """A clock that stands still where a broker was asked and did not answer.

    What users did meanwhile is still on its way: a slate that closed by the wall clock during an outage, or
    by the first topic that catches up after it, would close without the others. A worker that catches up
    asks for more only when it has folded what it was given: that takes its time, and is no outage.

    >>> hearing = Hearing(now_ms=0)
    >>> for asked, answered in ((0, 1_000), (9_000, 10_000), (10_000, 40_000), (40_000, 41_000)):
    ...     hearing.asked(asked)
    ...     hearing.answered(answered)
    >>> hearing.now(), hearing.is_steady()
    (11000, False)
    """

    def __init__(self, now_ms: int) -> None:
        self._last_ms = self._asked_ms = now_ms
        self._lost_ms = 0
        self._steady_ms = 0
        self._begun = False

    def asked(self, now_ms: int) -> None:
        """Take notice that the broker was asked at this wall time; it may be asked again meanwhile."""
        if self._asked_ms < self._last_ms:
            self._asked_ms = now_ms

    def answered(self, now_ms: int) -> None:
        """Take notice that the broker answered at this wall time."""
        silence = now_ms - max(self._last_ms, self._asked_ms)
        if silence > DEAF_MS and self._begun:
            self._lost_ms += silence
            self._steady_ms = now_ms + REGAIN_MS
        self._last_ms = now_ms
        self._begun = True

    def now(self) -> int:
        """The time of the last answer, in ms, less all the time without one."""
        return self._last_ms - self._lost_ms

    def at(self, wall_ms: int) -> int:
        """The time by this clock of a moment since the last outage; of an earlier one, too early a time."""
        return wall_ms - self._lost_ms

    def is_steady(self) -> bool:
        """Whether what was held back during the last outage has had its time to arrive."""
        return self._last_ms >= self._steady_ms
