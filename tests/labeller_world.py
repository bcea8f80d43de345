"""A labeller with everything around it in memory, and what it may be handed."""

from prometheus_client import CollectorRegistry

from schemas.codec import decode, encode
from schemas.events import Click, Impression, ShownItem, UserEvent
from schemas.labels import LabeledSlate
from stream.evidence_table import EvidenceTable
from stream.folding import PartitionFold
from stream.hearing import Hearing
from stream.inbound import Inbound
from stream.join_settings import JoinSettings, Rules
from stream.labeller import Labeller
from stream.metrics import Metrics
from stream.outbox import Outbox, Sent
from stream.partition import Partition
from stream.refuser import Refuser
from stream.session_table import SessionTable, SessionView
from tests.worker_fakes import FakeProducer, FakeProgress, FakeTable

JOIN = JoinSettings(window_ms=1_000, lateness_ms=100, rules=Rules(refinements=frozenset({"quick", "delays"})))


class Bystander:
    def __init__(self) -> None:
        self.events: list[UserEvent] = []
        self.labels: list[LabeledSlate] = []

    def on_event(self, event: UserEvent) -> None:
        self.events.append(event)

    def on_label(self, label: LabeledSlate, sent: Sent | None) -> None:
        self.labels.append(label)


class World:
    """A labeller with everything around it in memory."""

    def __init__(self, slow: bool = False) -> None:
        self.now = 10_000
        self.hearing = Hearing(self.now)
        self.hearing.answered(self.now)
        self.producer = FakeProducer(slow)
        self.progress = FakeProgress()
        self.table = FakeTable()
        self.evidence = FakeTable("evidence")
        self.bystander = Bystander()
        self.metrics = metrics = Metrics(CollectorRegistry())
        outbox = Outbox(self.producer, prefix="p.")
        self.sessions = sessions = SessionTable(self.table)
        view = SessionView(sessions)
        self.labeller = Labeller(
            partition=lambda: Partition(PartitionFold(JOIN, view, lambda _: None)),
            sessions=sessions,
            evidence=EvidenceTable(self.evidence),
            outbox=outbox,
            refuser=Refuser(outbox, metrics),
            progress=self.progress,  # type: ignore[arg-type]
            metrics=metrics,
            clock=lambda: self.now,
            hearing=self.hearing,
            listeners=[self.bystander],
            prefix="p.",
        )

    def hear(self, *pauses_ms: int) -> None:
        """Let the broker answer after each of these pauses."""
        for pause in pauses_ms:
            self.now += pause
            self.hearing.answered(self.now)

    async def take(self, *messages: Inbound) -> None:
        """Hand over messages of one topic."""
        topic, partition = messages[0].topic, messages[0].partition
        records = [message._replace(headers=tuple(message.headers.items())) for message in messages]
        await self.labeller.take(f"p.{topic}", partition, records)

    async def tick(self) -> None:
        """Let time pass, and commit."""
        await self.labeller.advance()
        await self.labeller.commit()

    def labels(self) -> list[LabeledSlate]:
        return [decode(LabeledSlate, sent.value) for sent in self.producer.on("p.labels")]


def shown(ts: int, request_id: str = "r") -> bytes:
    items = [ShownItem(item_id=item, position=place) for place, item in enumerate("ab")]
    return encode(
        Impression(event_id=f"i-{request_id}", request_id=request_id, user_id="user", ts=ts, items=items)
    )


def clicked(ts: int, request_id: str = "r") -> bytes:
    return encode(
        Click(event_id=f"c-{request_id}", request_id=request_id, user_id="user", item_id="a", ts=ts)
    )
