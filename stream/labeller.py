"""SHELL: user events of the assigned partitions → labels and sessions: decode, fold, send, commit."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from schemas.codec import encode
from schemas.errors import InvalidRecord
from schemas.labels import LabeledSlate
from schemas.topics import LABELS, USER_EVENTS
from schemas.trace import HEADER, Trace
from stream.evidence_table import EvidenceTable
from stream.hearing import Hearing
from stream.inbound import Fetched, Inbound, inbound
from stream.keys import Keys
from stream.listener import Listener
from stream.metrics import Metrics
from stream.outbox import Outbox, Outgoing
from stream.partition import Partition
from stream.progress import Progress
from stream.reading import read_events
from stream.refuser import Refuser
from stream.session_table import SessionTable

TOPICS: Final = tuple(topic.name for topic in USER_EVENTS)

SLICE: Final = 256
"""Messages folded between two looks at the rest of the worker: a few ms of work."""

PORTION: Final = 128
"""Sessions written at a time: one or two ms of work."""

PAUSE_S: Final = 0.02
"""Between two portions: thousands of sessions, written without, would hold up labels for half a second."""

LEAD_MS: Final = 1_000
"""How far, in event time, one topic is read ahead of another that has more to read."""

STALLED_MS: Final = 2_000
"""A topic that has had nothing to give for so long does not hold the others back."""


class Told(NamedTuple):
    """A label, and when the event that caused it was logged; None where time made it final."""

    label: LabeledSlate
    caused_at: int | None


class Stock(NamedTuple):
    """What a partition has to make durable before its offsets are committed: evidence, and whose sessions."""

    partition: int
    offsets: Mapping[tuple[str, int], int]
    evidence: bytes | None
    changed: Sequence[str]


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
        self._keys = Keys(metrics)
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
            if behind
            and (
                self._taken_at.get((other, partition), 0) > recent
                or self._progress.has_fetched(other, partition)
            )
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
        """Let time pass in every partition."""
        if not self._progress.is_settled():
            return
        era = self._era
        await self._progress.locate(TOPICS, self._partitions)
        async with self._turn:
            if era != self._era:
                return
            for number, partition in self._partitions.items():
                await self._send(number, self._advance(number, partition))
                partition.release()
                self._measure(number, partition)
            orphans = sum(one.counts.get("orphans", 0) for one in self._partitions.values())
            self._metrics.orphans.set(orphans)

    async def commit(self) -> None:
        """Make durable and commit what is done.

        Sessions are written a few at a time, with pauses in which messages are folded: a session that is
        ahead of the committed offsets does no harm.
        """
        if not self._progress.is_settled():
            return
        async with self._turn:
            era = self._era
            stocks = [_stock(number, partition) for number, partition in self._partitions.items()]
            self._sessions.trim(keep={user_id for stock in stocks for user_id in stock.changed})
        for stock in stocks:
            for begin in range(0, len(stock.changed), PORTION):
                await self._write_sessions(era, stock.partition, stock.changed[begin : begin + PORTION])
                await asyncio.sleep(PAUSE_S)
            if stock.evidence is not None:
                await self._outbox.settle()  # it says which labels are out
                await self._write_evidence(era, stock.partition, stock.evidence)
        await self._expire(era)
        await self._outbox.settle()
        if era == self._era:
            await self._progress.commit(
                {place: at for stock in stocks for place, at in stock.offsets.items()}
            )

    def start_over(self) -> None:
        """Forget every partition: a rebalance has begun, or reading goes back to the committed offsets."""
        self._era += 1
        self._partitions.clear()
        self._behind.clear()
        self._sessions.clear()
        self._progress.clear()
        self._metrics.start_over()

    async def _take(self, number: int, messages: Sequence[Inbound]) -> None:
        """Fold a slice, and do all that this makes due. Only sending awaits, so nothing comes between."""
        if number not in self._partitions:
            self._partitions[number] = self._begin(number)
        told: list[Told] = []
        refused: list[tuple[Inbound, InvalidRecord]] = []
        partition, now = self._partitions[number], self._hearing.now()
        for message, event in zip(messages, read_events(messages), strict=True):
            if isinstance(event, InvalidRecord):
                refused.append((message, event))
                partition.skip(message)
                continue
            self._keys.check(message, event)
            labels = partition.take(event, message, now)
            if labels:
                told += [Told(label, message.timestamp) for label in labels]
            for listener in self._listeners:
                listener.on_event(event)
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

    def _advance(self, number: int, partition: Partition) -> list[Told]:
        """What time has made final in a partition, as far as its topics were read."""
        told = self._progress.told(number, TOPICS)
        behind = self._progress.behind(number, {topic: partition.position(topic) for topic in TOPICS})
        self._behind[number] = behind
        if not self._hearing.is_steady():
            return []
        unread = [topic for topic, messages in behind.items() if messages is None or messages > 0]
        ended = {topic: self._hearing.at(wall_ms) for topic, wall_ms in told.items()}
        return [Told(label, None) for label in partition.advance(self._hearing.now(), unread, ended)]

    async def _write_sessions(self, era: int, number: int, changed: Sequence[str]) -> None:
        """Make sessions durable, unless another worker may have the partition by now."""
        if era == self._era:
            await self._outbox.send_raw(self._sessions.changelog, number, self._sessions.write(changed))

    async def _write_evidence(self, era: int, number: int, evidence: bytes) -> None:
        """Make evidence durable, under the same condition."""
        if era == self._era:
            taught = self._evidence.put(number, evidence)
            await self._outbox.send_raw(self._evidence.changelog, number, [taught])

    async def _expire(self, era: int) -> None:
        """Forget some of the users who are long gone, in every partition: nobody notes whose is whose."""
        if era != self._era or not self._partitions:
            return
        settled_ts = min(partition.settled_ts for partition in self._partitions.values())
        gone = self._sessions.expire(settled_ts, SLICE)
        for number in list(self._partitions) if gone else ():
            await self._outbox.send_raw(self._sessions.changelog, number, gone)

    def _measure(self, number: int, partition: Partition) -> None:
        self._metrics.unlabelled.labels(number).set(partition.open)
        for topic, behind in self._behind.get(number, {}).items():
            self._metrics.lag.labels(topic, number).set(behind or 0)

    async def _send(self, number: int, told: Sequence[Told]) -> None:
        """Send labels, to the partition that their events came from: the topics are co-partitioned."""
        if not told:
            return
        sent = await self._outbox.send_many(LABELS, number, _outgoing(told, self._clock()))
        if sent[-1] is not None:
            sent[-1].then(self._on_sent)
        for listener in self._listeners:
            for (label, _), delivery in zip(told, sent, strict=True):
                listener.on_label(label, delivery)
        finals = sum(label.is_final for label, _ in told)
        self._metrics.labels.labels("true").inc(finals)
        self._metrics.labels.labels("false").inc(len(told) - finals)


def _stock(number: int, partition: Partition) -> Stock:
    """What a partition has to make durable now; what comes later is for the next time."""
    offsets = {(topic, number): offset for topic, offset in partition.committable().items()}
    return Stock(number, offsets, partition.take_evidence(), list(partition.take_changed()))


def _outgoing(told: Sequence[Told], now: int) -> list[Outgoing]:
    """Labels of one moment as records; few have a stamp of their own."""
    stamps = {at: [(HEADER, encode(Trace(event=at, label=now)))] for at in {one.caused_at for one in told}}
    return [Outgoing(label.user_id.encode(), encode(label), stamps[at]) for label, at in told]
