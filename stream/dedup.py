"""PURE: which events were seen before, bounded by time."""

from collections import defaultdict
from typing import TypeAlias

Ids: TypeAlias = defaultdict[str, set[str]]
"""Topic → event ids."""


class Seen:
    """Remembers ids for at least one horizon and at most two, in two generations."""

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._older: Ids = defaultdict(set)
        self._newer: Ids = defaultdict(set)
        self._turn_ts: int | None = None

    def __len__(self) -> int:
        return sum(len(ids) for known in (self._older, self._newer) for ids in known.values())

    def is_new(self, topic: str, event_id: str) -> bool:
        """Whether an event of a topic is seen for the first time; remembers it."""
        if event_id in self._older[topic]:
            return False
        ids = self._newer[topic]
        before = len(ids)
        ids.add(event_id)
        return len(ids) > before

    def advance(self, watermark: int) -> None:
        """Forget the older generation once the watermark has passed a further horizon."""
        if self._turn_ts is None:
            self._turn_ts = watermark + self._horizon_ms
        elif watermark >= self._turn_ts:
            self._older, self._newer = self._newer, defaultdict(set)
            self._turn_ts = watermark + self._horizon_ms
