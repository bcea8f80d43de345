"""PURE: the event-time watermark of one partition, across its input topics."""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from typing import Final

SLACK_MS: Final = 250
"""How much later a message may reach its log than one sent after it: producers batch by topic."""

NOTHING: Final[Mapping[str, int]] = {}


class Watermark:
    """The time before which every event is taken to have arrived; it never goes back.

    Topics that still have unread messages hold it at the slowest of them, so that a catch-up after a
    restart joins as the live stream would. One that was read to its end holds it at the newest event that
    any topic had shown by then: what has come to it since may be as old as that. With everything read, the
    newest event leads; and while nothing comes, it moves with the clock, so that a silent partition still
    closes its slates.
    """

    def __init__(self, lateness_ms: int) -> None:
        """Expect events of one partition to be out of order by at most `lateness_ms`."""
        self._lateness_ms = lateness_ms
        self._newest: dict[str, int] = {}
        self._lead = -1
        self._seen_ms: list[int] = []
        self._leads: list[int] = []
        self._heard_ms = 0
        self._value: int | None = None

    def observe(self, topic: str, ts: int, now_ms: int) -> None:
        """Take notice of an event of `topic` with event time `ts`, read at wall time `now_ms`."""
        if ts > self._newest.get(topic, -1):
            self._newest[topic] = ts
            if ts > self._lead:
                self._lead = ts
                self._note(now_ms)
        self._heard_ms = now_ms

    def value(
        self, now_ms: int, unread: Collection[str] = (), ended: Mapping[str, int] = NOTHING
    ) -> int | None:
        """Return the watermark at wall time `now_ms`, or None before the first event.

        Args:
            now_ms: the clock that `observe` was given; constant in an offline run.
            unread: the topics known to hold messages of this partition that were not observed yet.
            ended: of the others, when by that clock they were last known to hold nothing more; now, if
                they are left out.
        """
        reached = self._reached(now_ms, unread, ended)
        if reached is not None and (self._value is None or reached > self._value):
            self._value = reached
        return self._value

    def _note(self, now_ms: int) -> None:
        """Remember when the lead was reached; moments are in order, of one only the last counts."""
        if self._seen_ms and self._seen_ms[-1] >= now_ms:
            self._leads[-1] = self._lead
        else:
            self._seen_ms.append(now_ms)
            self._leads.append(self._lead)

    def _reached(self, now_ms: int, unread: Collection[str], ended: Mapping[str, int]) -> int | None:
        if not self._newest or any(topic not in self._newest for topic in unread):
            return None
        bounds = [self._newest[topic] for topic in unread]
        known_ms = min((at for topic, at in ended.items() if topic not in unread), default=None)
        if known_ms is None:
            bounds = bounds or [self._lead]
        elif (lead := self._lead_at(known_ms - SLACK_MS)) is None:
            return None
        else:
            bounds.append(lead)
        silence = 0 if unread else max(0, now_ms - self._heard_ms)
        return min(bounds) + silence - self._lateness_ms

    def _lead_at(self, at_ms: int) -> int | None:
        """The newest event time that was seen by then; older moments are not asked for again."""
        place = bisect_right(self._seen_ms, at_ms)
        if not place:
            return None
        del self._seen_ms[: place - 1], self._leads[: place - 1]
        return self._leads[0]
