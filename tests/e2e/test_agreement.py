"""The batch path and the idiomatic Faust version, in real workers, tell the same labels of one log."""

import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from schemas.codec import decode
from schemas.events import Search, UserEvent
from schemas.labels import LabeledSlate, Session
from stream.administration import create_topics
from stream.broker import EmbeddedBroker
from stream.folding import PartitionFold
from stream.process import ChildProcess, free_port
from stream.reading import USER_EVENT_TYPES
from stream.replay import open_producer, replay
from stream.settings import Settings
from tests.bench.stream.feed import fill
from tests.bench.stream.job import FAUST, IDIOMATIC, worker
from tests.bench.stream.traffic import TOPICS, Message, Traffic, messages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SLATES = 100
LONG_AGO = 1_650_844_800_000
PATIENCE_S = 180.0

Labels = dict[str, LabeledSlate]


def test_both_versions_tell_the_same_labels(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    start_ts = time.time_ns() // 1_000_000 - 2_000
    events = list(messages(Traffic(4 * SLATES, rate=200.0, start_ts=start_ts, users=20)))
    versions = {}
    for command in (FAUST, IDIOMATIC):
        settings = fresh_settings(embedded_broker.address, tmp_path)
        fill(settings.broker, settings.prefix, settings.partitions, events)
        versions[command] = (settings, worker(settings, tmp_path / f"{settings.group}.log", None, command))
    try:
        for _, process in versions.values():
            process.start()
        expected = {label.label_id for label in offline(events)}
        batches, events_one_by_one = (labels(*version, expected) for version in versions.values())
    finally:
        for _, process in versions.values():
            process.stop(30)
    assert batches.keys() == events_one_by_one.keys() == expected
    for label_id, label in batches.items():
        assert told(label) == told(events_one_by_one[label_id])


def test_a_log_replayed_as_fast_as_it_goes_gives_the_labels_of_the_offline_fold(
    broker: str, tmp_path: Path
) -> None:
    events = list(messages(Traffic(10_000, rate=10.0, start_ts=LONG_AGO, users=100)))
    settings = fresh_settings(broker, tmp_path, lateness_s=60.0)
    process = worker(settings, tmp_path / "worker.log", None)
    try:
        process.start()
        process.wait_until(partial(is_ready, settings), "the worker", PATIENCE_S)
        with open_producer(settings) as producer:
            records = [record(message) for message in events]
            for some in portions([*records, *much_later(records)]):
                replay(some, producer, prefix=settings.prefix)
        expected = {label.label_id: label for label in offline(events)}
        online = labels(settings, process, expected.keys())
    finally:
        process.stop(30)
    assert online.keys() == expected.keys()
    assert all(told(label) == told(expected[label_id]) for label_id, label in online.items())


def portions(records: Sequence[UserEvent], size: int = 400) -> Iterator[Sequence[UserEvent]]:
    """Forty seconds of event time, less than the lateness: each is in the log before the next is sent.

    Within one, a busy machine may deliver a topic any time after another.
    """
    for begin in range(0, len(records), size):
        yield records[begin : begin + size]


def much_later(records: Sequence[UserEvent]) -> list[UserEvent]:
    """A search of every user, so long after that all slates are over.

    Where nothing comes, the worker's time moves with the clock: with a small lateness, a replay that is held
    up for a second would be late from then on.
    """
    ts = records[-1].ts + 600_000
    users = sorted({event.user_id for event in records})
    return [Search(event_id=f"last-{user}", user_id=user, ts=ts, query="done") for user in users]


def fresh_settings(broker: str, directory: Path, lateness_s: float = 1.0) -> Settings:
    """Settings of a worker with topics of its own, made on the broker."""
    name = f"a{uuid.uuid4().hex[:10]}"
    settings = Settings(
        broker=broker,
        prefix=f"{name}.",
        group=name,
        state_dir=str(directory / name),
        web_port=free_port(),
        partitions=2,
        window_s=4.0,
        lateness_s=lateness_s,
        roles=("label",),
    )
    create_topics(settings)
    return settings


def is_ready(settings: Settings) -> bool:
    """Whether the worker has its partitions."""
    try:
        with urlopen(f"http://{settings.web_host}:{settings.web_port}/readyz", timeout=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def record(message: Message) -> UserEvent:
    """The event that a message carries."""
    return decode(USER_EVENT_TYPES[TOPICS[message.topic]], message.value)


def told(label: LabeledSlate) -> LabeledSlate:
    """A label; the session of one that left at once is what had arrived by then, which may differ."""
    if all(outcome.final for outcome in label.outcomes):
        return label
    return msgspec.structs.replace(label, session=Session())


def offline(events: Sequence[Message]) -> list[LabeledSlate]:
    """The labels of a fold over the events in time order."""
    fold = PartitionFold(Settings(window_s=4.0, lateness_s=1.0).join, {}, lambda _: None)
    labels = []
    for number, message in enumerate(events):
        labels.extend(fold.fold(record(message), TOPICS[message.topic], number, message.ts))
    return labels + fold.drain()


def labels(settings: Settings, process: ChildProcess, expected: Collection[str]) -> Labels:
    """All labels, once there are the expected ones."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.broker, auto_offset_reset="earliest", enable_auto_commit=False
    )
    consumer.assign([TopicPartition(f"{settings.prefix}labels", number) for number in range(2)])
    found: Labels = {}
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not found.keys() >= expected:
            process.check()
            assert time.monotonic() < deadline, f"{len(found)} labels of {len(expected)}"
            for records in consumer.poll(timeout_ms=200).values():
                for record in records:
                    label = decode(LabeledSlate, record.value)
                    assert found.setdefault(label.label_id, label) == label
        return found
    finally:
        consumer.close()
