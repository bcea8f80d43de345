"""The learner's adapters against a broker: nothing lost, nothing twice, nothing that blocks for long."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer, TopicPartition

from learner import checkpoint
from learner.checkpoint import Assembler
from learner.connections import Message, connect_consumer, connect_producer
from learner.follower import Follower, follow
from learner.items import ItemFeed, ItemQueue
from learner.kafka import EvaluationSink, LabelSource, ModelSink
from learner.loop import Loop
from learner.ports import Ports, Received
from learner.settings import LearnerSettings
from learner.snapshots import SnapshotWriter
from schemas import codec, topics, trace
from schemas.access import Access
from schemas.checkpoint import Manifest
from schemas.evaluation import Evaluation
from schemas.events import Item
from schemas.labels import LabeledSlate, Outcome, Session
from schemas.trace import Trace
from stream.administration import create_topics
from stream.broker import EmbeddedBroker
from stream.settings import Settings
from tests.fakes import FakeClock, FakeOnline

PATIENCE_S = 60.0
PARTITIONS = 4


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        yield broker.address


@pytest.fixture
def prefix(address: str) -> str:
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    create_topics(Settings(broker=address, prefix=prefix, partitions=PARTITIONS))
    return prefix


@pytest.fixture
def producer(address: str) -> Iterator[KafkaProducer]:
    made = connect_producer(Access(broker=address))
    yield made
    made.close(timeout=PATIENCE_S)


@pytest.fixture
def open_source(address: str, prefix: str, producer: KafkaProducer) -> Iterator[Callable[..., LabelSource]]:
    opened: list[LabelSource] = []

    def open_one(rank: int = 0, world_size: int = 1, least: int = 1) -> LabelSource:
        opened.append(
            LabelSource(Access(broker=address), prefix, "learner", producer, rank, world_size, least)
        )
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def label(number: int) -> LabeledSlate:
    return LabeledSlate(
        request_id=f"r{number}",
        revision=0,
        user_id=f"u{number}",
        ts=1,
        observed_ts=2,
        session=Session(),
        slate=["a"],
        outcomes=[Outcome(item_id="a", position=0, clicked=True)],
    )


def send_labels(producer: KafkaProducer, prefix: str, numbers: range) -> None:
    for number in numbers:
        stamp = (trace.HEADER, codec.encode(Trace(event=number, label=number + 1)))
        key = f"u{number}".encode()
        producer.send(prefix + topics.LABELS.name, codec.encode(label(number)), key, [stamp])
    producer.flush(PATIENCE_S)


def poll_all(source: LabelSource, count: int, most: int = 100) -> list[Received]:
    received: list[Received] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(received) < count and time.monotonic() < deadline:
        received += source.poll(most, 100)
    return received + source.poll(most, 300)


def read_all(address: str, topic: str, count: int) -> list[Message]:
    found: list[Message] = []
    stop = threading.Event()
    follower = follow(Access(broker=address), topic, found.append, stop)
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    assert follower.join(PATIENCE_S)
    return found


def ids(received: list[Received]) -> list[str]:
    return sorted(one.slate.label_id for one in received)


def expected_ids(numbers: range) -> list[str]:
    return sorted(f"r{number}#0" for number in numbers)


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_fewer_labels_than_the_least_do_not_count_as_read(
    open_source: Callable[..., LabelSource], prefix: str, producer: KafkaProducer
) -> None:
    source = open_source(least=6)
    source.seek({})
    send_labels(producer, prefix, range(4))
    assert source.poll(6, 500) == [] and set(source.offsets().values()) == {0}
    send_labels(producer, prefix, range(4, 8))
    assert len(poll_all(source, 6, most=6)) == 6
    assert sum(source.offsets().values()) == 6


def test_labels_are_read_whole_with_their_traces(
    producer: KafkaProducer, prefix: str, open_source: Callable[..., LabelSource]
) -> None:
    send_labels(producer, prefix, range(50))
    source = open_source()
    source.seek({})
    received = poll_all(source, 50, most=7)
    assert ids(received) == expected_ids(range(50))
    assert sum(source.offsets().values()) == 50
    assert all(f"r{one.trace.event}" == one.slate.request_id for one in received)


def test_reading_goes_on_from_any_offsets(
    producer: KafkaProducer, prefix: str, open_source: Callable[..., LabelSource]
) -> None:
    send_labels(producer, prefix, range(50))
    first, second = open_source(), open_source()
    first.seek({})
    before = first.poll(20, 5_000)
    second.seek(first.offsets())
    assert ids(before + poll_all(second, 50 - len(before))) == expected_ids(range(50))


def test_offsets_of_a_log_that_is_no_more_are_left_behind(
    producer: KafkaProducer, prefix: str, open_source: Callable[..., LabelSource]
) -> None:
    send_labels(producer, prefix, range(5))
    source = open_source()
    source.seek(dict.fromkeys(range(PARTITIONS), 1_000))
    assert ids(poll_all(source, 5)) == expected_ids(range(5))


def test_ranks_share_the_labels(
    producer: KafkaProducer, prefix: str, open_source: Callable[..., LabelSource]
) -> None:
    send_labels(producer, prefix, range(50))
    sources = [open_source(rank, 2) for rank in range(2)]
    received: list[list[Received]] = [[], []]

    def all_read() -> bool:
        for mine, source in zip(received, sources, strict=True):
            mine += source.poll(100, 100)
        return sum(map(len, received)) >= 50

    for source in sources:
        source.seek({})
    assert until(all_read)
    assert {one.partition % 2 for one in received[0]} == {0}
    assert ids(received[0] + received[1]) == expected_ids(range(50))


def test_bad_labels_become_dead_letters_and_the_good_ones_around_them_are_read(
    address: str, producer: KafkaProducer, prefix: str, open_source: Callable[..., LabelSource]
) -> None:
    topic = prefix + topics.LABELS.name
    for value in (codec.encode(label(0)), b"{", b'{"request_id": 1}', codec.encode(label(1))):
        producer.send(topic, value, b"k", partition=2)
    producer.send(topic, codec.encode(label(2)), b"k", [("schema", b"99")], partition=2)
    producer.send(topic, b"?" * 900_000, b"k", [("filling", b"x" * 140_000)], partition=2)
    producer.flush(PATIENCE_S)
    source = open_source()
    source.seek({})
    assert ids(poll_all(source, 2)) == expected_ids(range(2))
    assert until(lambda: not source.poll(100, 100) and source.refused == 4)
    assert source.offsets()[2] == 6
    letters = read_all(address, prefix + topics.DEAD_LETTERS.name, 4)
    headers = [dict(letter.headers) for letter in letters]
    assert [h["reason"] for h in headers] == [b"not_json", b"invalid", b"schema_unsupported", b"not_json"]
    assert [(h["topic"], h["partition"], h["offset"]) for h in headers] == [
        (b"labels", b"2", b"1"),
        (b"labels", b"2", b"2"),
        (b"labels", b"2", b"4"),
        (b"labels", b"2", b"5"),
    ]
    assert [letter.value for letter in letters[:2]] == [b"{", b'{"request_id": 1}']


def test_committed_offsets_show_the_lag(
    address: str, producer: KafkaProducer, prefix: str, open_source: Callable[..., LabelSource]
) -> None:
    send_labels(producer, prefix, range(20))
    source = open_source()
    source.seek({})
    poll_all(source, 20)
    source.commit()
    consumer = connect_consumer(Access(broker=address), "learner")
    try:
        wanted = source.offsets()
        partitions = [TopicPartition(prefix + topics.LABELS.name, partition) for partition in wanted]
        assert until(lambda: [consumer.committed(tp) for tp in partitions] == list(wanted.values()))
    finally:
        consumer.close()


def manifest_of(payload: bytes) -> Manifest:
    sha256 = checkpoint.content_hash(payload)
    return Manifest(
        model="default",
        version=checkpoint.version_of(sha256),
        parent=None,
        base="base",
        created_ts=1,
        offsets={"0": 1},
        examples_seen=1,
        ranks={},
        metrics={},
        bytes=len(payload),
        sha256=sha256,
        chunks=checkpoint.count_chunks(len(payload)),
    )


def test_a_large_checkpoint_arrives_whole_with_the_time_of_its_publication(
    address: str, producer: KafkaProducer, prefix: str
) -> None:
    sink = ModelSink(producer, prefix, FakeClock(now=77))
    payloads = [bytes([n]) * 2_000_000 for n in range(2)]
    for payload in payloads:
        sink.publish(lambda whole=payload: (manifest_of(whole), whole))
        assert sink.wait(PATIENCE_S)
        assert sink.ready
    assembler = Assembler()
    records = read_all(address, prefix + topics.MODELS.name, 8)
    whole = [assembler.fold(record.key, record.value, record.headers) for record in records]
    assert [complete[1] for complete in whole if complete] == payloads
    stamped = msgspec.json.decode(dict(records[-1].headers)[trace.HEADER], type=Trace)
    assert stamped == Trace(published=77)


def test_evaluations_are_sent(address: str, producer: KafkaProducer, prefix: str) -> None:
    evaluation = Evaluation(name="auc", value=0.5, count=1, model_version=None, window_start=1, window_end=2)
    EvaluationSink(producer, prefix).record(evaluation)
    [record] = read_all(address, prefix + topics.EVALUATIONS.name, 1)
    assert (record.key, codec.decode(Evaluation, record.value or b"")) == (b"auc", evaluation)


def test_a_follower_catches_up_and_follows_on(
    address: str, producer: KafkaProducer, prefix: str, stop: threading.Event
) -> None:
    topic = prefix + topics.ITEMS.name
    item = Item(item_id="a", ts=1, title="A")
    for value in (codec.encode(item), b"{", None):
        producer.send(topic, value, b"a")
    producer.send(topic, codec.encode(item), b"a", [("schema", b"99")])
    producer.flush(PATIENCE_S)
    queue = ItemQueue()
    follower = follow(Access(broker=address), topic, queue.put, stop)
    feed = ItemFeed(queue, follower)
    assert feed.wait(PATIENCE_S)
    assert [change.item for change in feed.drain()] == [item, None]
    assert queue.refused == 2
    producer.send(topic, codec.encode(item), b"a")
    assert until(lambda: [change.item for change in feed.drain()] == [item])
    stop.set()
    assert follower.join(PATIENCE_S)


def test_a_follower_of_an_empty_topic_has_caught_up(address: str, prefix: str, stop: threading.Event) -> None:
    assert follow(Access(broker=address), prefix + topics.ITEMS.name, lambda _: None, stop).wait(PATIENCE_S)


def test_what_ends_a_follower_is_not_kept_quiet(
    address: str, producer: KafkaProducer, prefix: str, stop: threading.Event
) -> None:
    def fail(_: Message) -> None:
        raise ArithmeticError("broken")

    producer.send(prefix + topics.ITEMS.name, b"x", b"a")
    producer.flush(PATIENCE_S)
    follower = follow(Access(broker=address), prefix + topics.ITEMS.name, fail, stop)
    with pytest.raises(ArithmeticError, match="broken"):
        follower.wait(PATIENCE_S)
    with pytest.raises(ArithmeticError, match="broken"):
        follower.check()


def test_a_follower_waits_for_its_broker(stop: threading.Event) -> None:
    broker = EmbeddedBroker()
    found: list[Message] = []
    follower = Follower(Access(broker=broker.address), topics.ITEMS.name, found.append, stop).start()
    assert not follower.wait(0.1)
    with broker:
        create_topics(Settings(broker=broker.address, partitions=1))
        producer = connect_producer(Access(broker=broker.address))
        producer.send(topics.ITEMS.name, b"x", b"a")
        producer.close(timeout=PATIENCE_S)
        assert until(lambda: [message.value for message in found] == [b"x"])
        stop.set()
        assert follower.join(PATIENCE_S)


def test_a_learner_that_is_killed_and_started_again_counts_every_label_once(
    address: str,
    producer: KafkaProducer,
    prefix: str,
    open_source: Callable[..., LabelSource],
    stop: threading.Event,
    tmp_path: Path,
) -> None:
    send_labels(producer, prefix, range(100))
    settings = LearnerSettings(publish_ms=1, snapshot_s=0.001, batch_max=9)

    def start() -> tuple[Loop, FakeOnline]:
        online, queue = FakeOnline(), ItemQueue()
        ports = Ports(
            labels=open_source(),
            models=ModelSink(producer, prefix, FakeClock()),
            snapshots=SnapshotWriter(str(tmp_path)),
            items=ItemFeed(
                queue, follow(Access(broker=address), prefix + topics.ITEMS.name, queue.put, stop)
            ),
            evaluations=EvaluationSink(producer, prefix),
        )
        loop = Loop(settings, online, ports, FakeClock(tick=10))
        loop.restore()
        return loop, online

    for steps in (3, 1, 4):
        loop, _ = start()
        for _ in range(steps):
            loop.step()
    loop, online = start()
    deadline = time.monotonic() + PATIENCE_S
    while len(online.weights) < 100 and time.monotonic() < deadline:
        loop.step()
    loop.finish()
    assert sorted(online.weights) == expected_ids(range(100))
    _, restored = start()
    assert sorted(restored.weights) == expected_ids(range(100))
