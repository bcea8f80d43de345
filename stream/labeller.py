"""SHELL: user events of the assigned partitions → labels and sessions: decode, fold, send, commit."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from schemas.codec import encode
from schemas.errors import InvalidRecord
from schemas.labels import LabeledSlate
from schemas.topics import LABELS, USER_EVENTS
from schemas.trace import HEADER, Trace
from stream.inbound import Inbound
from stream.listener import Listener
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.partition import Partition
from stream.progress import Progress
from stream.reading import read_event
from stream.refuser import Refuser
from stream.session_table import SessionTable

TOPICS = tuple(topic.name for topic in USER_EVENTS)


class Labeller:
    """One fold a partition.

    Nothing of it survives a rebalance: Faust then reads every partition from its committed offset again,
    and what was open folds to the same state. A turn is taken at a time, so that no message is released
    between the fold that labels it and the sending of that label.
    """

    def __init__(
        self,
        partition: Callable[[], Partition],
        sessions: SessionTable,
        outbox: Outbox,
        refuser: Refuser,
        progress: Progress,
        metrics: Metrics,
        clock: Callable[[], int],
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._new_partition = partition
        self._sessions = sessions
        self._outbox = outbox
        self._refuser = refuser
        self._progress = progress
        self._metrics = metrics
        self._clock = clock
        self._listeners = listeners
        self._partitions: dict[int, Partition] = {}
        self._era = 0
        self._turn = asyncio.Lock()

    async def take(self, message: Inbound) -> None:
        """Fold one message of a user-event topic; one that cannot be read becomes a dead letter."""
        era = self._era
        async with self._turn:
            if era != self._era:
                return  # a rebalance came between: this message will be read again
            partition = self._partition(message.partition)
            self._metrics.events.labels(message.topic).inc()
            try:
                event = read_event(message)
            except InvalidRecord as error:
                await self._refuser.refuse(message, error)
                partition.skip(message)
                return
            labels = partition.take(event, message, self._clock())
            for listener in self._listeners:
                listener.on_event(event)
            await self._send(labels, caused_at=message.timestamp)
            partition.release()

    async def advance(self) -> None:
        """Let time pass in every partition, then make durable and commit what is done."""
        if not self._progress.is_settled():
            return
        era = self._era
        await self._progress.locate(TOPICS, self._partitions)
        async with self._turn:
            if era != self._era:
                return
            for number, partition in self._partitions.items():
                await self._send(partition.advance(self._clock(), self._unread(number, partition)))
                partition.release()
            offsets = self._durable()
        await self._outbox.settle()
        if era == self._era:
            await self._progress.commit(offsets)

    def clear(self) -> None:
        """Forget every partition: a rebalance has begun."""
        self._era += 1
        self._partitions.clear()
        self._sessions.clear()
        self._progress.clear()

    def _partition(self, number: int) -> Partition:
        if number not in self._partitions:
            self._partitions[number] = self._new_partition()
        return self._partitions[number]

    def _unread(self, number: int, partition: Partition) -> list[str]:
        """Topics that hold more messages, or may do so."""
        unread = []
        for topic in TOPICS:
            behind = self._progress.unread(topic, number, partition.position(topic))
            self._metrics.lag.labels(topic, number).set(behind or 0)
            if behind is None or behind > 0:
                unread.append(topic)
        return unread

    def _durable(self) -> dict[tuple[str, int], int]:
        """Write changed sessions; returns the offsets that may be committed once all that has arrived."""
        offsets = {}
        for number, partition in self._partitions.items():
            self._sessions.write(number, partition.take_changed())
            offsets.update({(topic, number): offset for topic, offset in partition.committable().items()})
            self._metrics.unlabelled.labels(number).set(partition.open)
        self._sessions.trim()
        self._metrics.orphans.set(sum(p.counts.get("orphans", 0) for p in self._partitions.values()))
        return offsets

    async def _send(self, labels: Iterable[LabeledSlate], caused_at: int | None = None) -> None:
        for label in labels:
            trace = Trace(event=caused_at, label=self._clock())
            sent = await self._outbox.send(
                LABELS, label.user_id.encode(), encode(label), {HEADER: encode(trace)}
            )
            for listener in self._listeners:
                listener.on_label(label, sent)
            self._metrics.labels.labels(str(all(outcome.final for outcome in label.outcomes)).lower()).inc()
