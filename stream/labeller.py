"""SHELL: user events of the assigned partitions → labels and sessions: decode, fold, send, commit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from schemas.codec import encode
from schemas.errors import InvalidRecord
from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from schemas.topics import LABELS, USER_EVENTS
from schemas.trace import HEADER, Trace
from stream.evidence_table import EvidenceTable
from stream.hearing import Hearing
from stream.inbound import Fetched, Inbound, inbound
from stream.listener import Listener
from stream.metrics import Metrics
from stream.outbox import Outbox, Outgoing
from stream.partition import Partition
from stream.progress import Progress
from stream.reading import read_event
from stream.refuser import Refuser
from stream.session_table import SessionTable

TOPICS: Final = tuple(topic.name for topic in USER_EVENTS)

SLICE: Final = 256
"""Messages folded between two looks at the rest of the worker: a few ms of work."""

LEAD_MS: Final = 1_000
"""How far, in event time, one topic is read ahead of another that has more to read."""

STALLED_MS: Final = 2_000
"""A topic that gave nothing for so long does not hold the others back."""


class Told(NamedTuple):
    """A label, and when the event that caused it was logged; None where time made it final."""

    label: LabeledSlate
    caused_at: int | None


class Labeller:
    """One fold a partition; the sink of the topics of user events.

    Nothing of it survives a rebalance: every partition is then read from its committed offset again, and
    what was open folds to the same state. A turn is taken at a time, so that no message is released between
    the fold that labels it and the sending of that label.
    """

    def __init__(
        self,
        partition: Callable[[], Partition],
        sessions: SessionTable,
        evidence: EvidenceTable,
        outbox: Outbox,
        refuser: Refuser,
        progress: Progress,
        metrics: Metrics,
        clock: Callable[[], int],
        hearing: Hearing,
        listeners: Sequence[Listener] = (),
        prefix: str = "",
        may_begin: Callable[[], bool] = lambda: True,
        on_sent: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        self.topics = frozenset(prefix + topic for topic in TOPICS)
        self._prefix = prefix
        self._may_begin = may_begin
        self._on_sent = on_sent
        self._new_partition = partition
        self._sessions = sessions
        self._evidence = evidence
        self._outbox = outbox
        self._refuser = refuser
        self._progress = progress
        self._metrics = metrics
        self._clock = clock
        self._hearing = hearing
        self._listeners = listeners
        self._partitions: dict[int, Partition] = {}
        self._behind: dict[int, dict[str, int | None]] = {}
        self._taken_at: dict[tuple[str, int], int] = {}
        self._era = 0
        self._turn = asyncio.Lock()

    def wants(self, topic: str, partition: int) -> bool:
        """Whether to read on in a topic: not while another one lies behind, or what waits would pile up."""
        if not self._may_begin():
            return False
        fold = self._partitions.get(partition)
        if fold is None:
            return True
        recent = self._clock() - STALLED_MS
        others = [
            other
            for other, behind in self._behind.get(partition, {}).items()
            if behind and self._taken_at.get((other, partition), 0) > recent
        ]
        return not fold.leads(topic.removeprefix(self._prefix), others, LEAD_MS)

    async def take(self, topic: str, partition: int, records: Sequence[Fetched]) -> None:
        """Fold consecutive messages of one topic; those that cannot be read become dead letters."""
        era = self._era
        name = topic.removeprefix(self._prefix)
        self._taken_at[name, partition] = self._clock()
        self._metrics.events.labels(name).inc(len(records))
        for begin in range(0, len(records), SLICE):
            messages = [inbound(name, partition, record) for record in records[begin : begin + SLICE]]
            async with self._turn:
                if era != self._era:
                    return  # a rebalance came between: these messages will be read again
                await self._take(partition, messages)
            await asyncio.sleep(0)

    async def advance(self) -> None:
        """Let time pass in every partition, then make durable and commit what is done."""
        if not self._progress.is_settled():
            return
        era = self._era
        await self._progress.locate(TOPICS, self._partitions)
        async with self._turn:
            if era != self._era:
                return
            partitions = dict(self._partitions)
            for number, partition in partitions.items():
                await self._send(number, self._advance(number, partition))
                partition.release()
            offsets = await self._durable(partitions)
        await self._outbox.settle()
        if era == self._era:
            await self._progress.commit(offsets)

    def start_over(self) -> None:
        """Forget every partition: a rebalance has begun, or reading goes back to the committed offsets."""
        self._era += 1
        self._partitions.clear()
        self._behind.clear()
        self._sessions.clear()
        self._progress.clear()

    async def _take(self, number: int, messages: Sequence[Inbound]) -> None:
        """Fold a slice, and do all that this makes due. Only sending awaits, so nothing comes between."""
        if number not in self._partitions:
            self._partitions[number] = self._begin(number)
        told: list[Told] = []
        refused: list[tuple[Inbound, InvalidRecord]] = []
        partition, now = self._partitions[number], self._hearing.now()
        for message in messages:
            try:
                event = read_event(message)
            except InvalidRecord as error:
                refused.append((message, error))
                partition.skip(message)
                continue
            labels = partition.take(event, message, now)
            told.extend(Told(label, message.timestamp) for label in labels)
            self._notice(event)
        told.extend(self._advance(number, partition))
        for message, reason in refused:
            await self._refuser.refuse(message, reason)
        await self._send(number, told)
        partition.release()

    def _begin(self, number: int) -> Partition:
        partition = self._new_partition()
        evidence = self._evidence.get(number)
        if evidence is not None:
            partition.restore_evidence(evidence)
        return partition

    def _notice(self, event: UserEvent) -> None:
        for listener in self._listeners:
            listener.on_event(event)

    def _advance(self, number: int, partition: Partition) -> list[Told]:
        """What time has made final in a partition, as far as its topics were read."""
        behind = self._progress.behind(number, {topic: partition.position(topic) for topic in TOPICS})
        self._behind[number] = behind
        if not self._hearing.is_steady():
            return []
        unread = [topic for topic, messages in behind.items() if messages is None or messages > 0]
        return [Told(label, None) for label in partition.advance(self._hearing.now(), unread)]

    async def _durable(self, partitions: Mapping[int, Partition]) -> dict[tuple[str, int], int]:
        """Write sessions and evidence; returns the offsets to commit once all that has arrived."""
        offsets = {}
        for number, partition in partitions.items():
            offsets.update({(topic, number): offset for topic, offset in partition.committable().items()})
            evidence = partition.take_evidence()
            changed = self._sessions.write(partition.take_changed())
            if evidence is not None:
                taught = self._evidence.put(number, evidence)
                await self._outbox.send_raw(self._evidence.changelog, number, [taught])
            await self._outbox.send_raw(self._sessions.changelog, number, changed)
            self._measure(number, partition)
        self._sessions.trim()
        self._metrics.orphans.set(sum(p.counts.get("orphans", 0) for p in partitions.values()))
        return offsets

    def _measure(self, number: int, partition: Partition) -> None:
        self._metrics.unlabelled.labels(number).set(partition.open)
        for topic, behind in self._behind.get(number, {}).items():
            self._metrics.lag.labels(topic, number).set(behind or 0)

    async def _send(self, number: int, told: Sequence[Told]) -> None:
        """Send labels, to the partition that their events came from: the topics are co-partitioned."""
        if not told:
            return
        now = self._clock()
        sent = await self._outbox.send_many(LABELS, number, [_outgoing(*one, now) for one in told])
        if sent[-1] is not None:
            sent[-1].then(self._on_sent)
        finals = 0
        for (label, _), delivery in zip(told, sent, strict=True):
            finals += all(outcome.final for outcome in label.outcomes)
            for listener in self._listeners:
                listener.on_label(label, delivery)
        self._metrics.labels.labels("true").inc(finals)
        self._metrics.labels.labels("false").inc(len(told) - finals)


def _outgoing(label: LabeledSlate, caused_at: int | None, now: int) -> Outgoing:
    trace = encode(Trace(event=caused_at, label=now))
    return Outgoing(label.user_id.encode(), encode(label), [(HEADER, trace)])
