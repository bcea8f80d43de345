"""PURE: the event-time watermark of one partition, across its input topics."""

from collections.abc import Collection


class Watermark:
    """The time before which every event is taken to have arrived; it never goes back.

    Topics that still have unread messages hold it at the slowest of them, so that a catch-up after a
    restart joins as the live stream would. With everything read, the newest event leads; and while
    nothing comes, it moves with the clock, so that a silent partition still closes its slates.
    """

    def __init__(self, lateness_ms: int) -> None:
        """Expect events of one partition to be out of order by at most `lateness_ms`."""
        self._lateness_ms = lateness_ms
        self._newest: dict[str, int] = {}
        self._heard_ms = 0
        self._value: int | None = None

    def observe(self, topic: str, ts: int, now_ms: int) -> None:
        """Take notice of an event of `topic` with event time `ts`, read at wall time `now_ms`."""
        if ts > self._newest.get(topic, -1):
            self._newest[topic] = ts
        self._heard_ms = now_ms

    def value(self, now_ms: int, unread: Collection[str] = ()) -> int | None:
        """Return the watermark at wall time `now_ms`, or None before the first event.

        Args:
            now_ms: the clock that `observe` was given; constant in an offline run.
            unread: the topics known to hold messages of this partition that were not observed yet.
        """
        reached = self._reached(now_ms, unread)
        if reached is not None and (self._value is None or reached > self._value):
            self._value = reached
        return self._value

    def _reached(self, now_ms: int, unread: Collection[str]) -> int | None:
        if not self._newest or any(topic not in self._newest for topic in unread):
            return None
        if unread:
            return min(self._newest[topic] for topic in unread) - self._lateness_ms
        silence = max(0, now_ms - self._heard_ms)
        return max(self._newest.values()) + silence - self._lateness_ms
