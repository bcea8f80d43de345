"""SHELL: where the consumer stands, and commits. The one file that reads Faust's consumer from inside."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from faust.exceptions import ConsumerNotStarted
from faust.types import TP


class Progress:
    """Log ends, starting positions and exact commits of the assigned partitions; topics without prefix."""

    def __init__(self, app: Any, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._starts: dict[TP, int] = {}
        self._committed: dict[TP, int] = {}

    def is_settled(self) -> bool:
        """Whether partitions are assigned, and neither a rebalance nor a table recovery is going on."""
        if self._app.rebalancing or self._app.in_recovery:
            return False
        try:
            return bool(self._app.consumer.assignment())
        except ConsumerNotStarted:
            return False

    def partitions(self, topic: str) -> list[int]:
        """Return the assigned partitions of a topic."""
        name = self._prefix + topic
        return sorted(tp.partition for tp in self._app.consumer.assignment() if tp.topic == name)

    async def locate(self, topics: Iterable[str], partitions: Iterable[int]) -> None:
        """Learn where reading began in new partitions: at the committed offset, else at the earliest."""
        wanted = {self._tp(topic, partition) for topic in topics for partition in partitions}
        unknown = wanted & self._app.consumer.assignment() - self._starts.keys()
        # `_committed_offset` is what Faust's `perform_seek` found, None where the group never committed.
        committed = {tp: self._app.consumer._committed_offset.get(tp) for tp in unknown}
        never = [tp for tp, offset in committed.items() if offset is None]
        earliest = await self._app.consumer.earliest_offsets(*never) if never else {}
        for tp in unknown:
            offset = committed[tp]
            self._starts[tp] = earliest.get(tp, 0) if offset is None else offset

    def behind(self, partition: int, positions: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return how many messages lie behind each topic's position; None where that is unknown.

        Args:
            partition: of all these topics.
            positions: topic → the offset after the last message taken; None: none was.
        """
        assigned = self._app.consumer.assignment()
        return {
            topic: self._unread(self._tp(topic, partition), position, assigned)
            for topic, position in positions.items()
        }

    def told(self, partition: int, topics: Iterable[str]) -> dict[str, int]:
        """Return when (wall clock, ms) the broker last told how far each topic's log goes; 0 if it did not.

        Ask before `behind`, which then knows at least as much.
        """
        consumer = self._app.consumer._thread._ensure_consumer()  # Faust passes on all but this
        wanted = {topic: self._tp(topic, partition) for topic in topics}
        assigned = self._app.consumer.assignment()
        return {
            topic: (consumer.last_poll_timestamp(tp) if tp in assigned else None) or 0
            for topic, tp in wanted.items()
        }

    def has_fetched(self, topic: str, partition: int) -> bool:
        """Whether messages were fetched that nobody has taken yet."""
        return self._tp(topic, partition) in self._app.consumer._thread._ensure_consumer()._fetcher._records

    def _unread(self, tp: TP, position: int | None, assigned: Collection[TP]) -> int | None:
        if tp not in assigned:
            return None
        end = self._app.consumer.highwater(tp)
        start = self._starts.get(tp) if position is None else position
        return None if end is None or start is None else max(0, end - start)

    async def commit(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit (topic, partition) → next offset to read; those that did not move are left out."""
        moved = {self._tp(*place): offset for place, offset in offsets.items()}
        moved = {tp: offset for tp, offset in moved.items() if offset > self._committed.get(tp, -1)}
        if moved:
            # Flushes the producer, leaves out what was revoked meanwhile, and commits for the group.
            await self._app.consumer._commit_offsets(moved)
            self._committed.update(moved)

    def clear(self) -> None:
        """Forget everything: partitions were revoked or assigned."""
        self._starts.clear()
        self._committed.clear()

    def _tp(self, topic: str, partition: int) -> TP:
        return TP(self._prefix + topic, partition)
