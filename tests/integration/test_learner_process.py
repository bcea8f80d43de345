"""`python -m learner` as it runs: killed, started again, and told to stop."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaProducer

from learner import snapshots
from learner.backfill import train_base
from learner.base import Base, save_base
from learner.checkpoint import Assembler
from learner.connections import Message, connect_producer
from learner.fitting import BackfillSettings
from learner.follower import follow
from learner.online import OnlineLearner
from learner.ranker import RankerSettings
from learner.settings import LearnerSettings
from learner.text import DEFAULT_TEXT_ENCODER, Vectors
from learner.update_settings import UpdateSettings
from schemas import codec, topics
from schemas.access import Access
from schemas.checkpoint import Manifest
from schemas.environment import variable
from schemas.labels import LabeledSlate, Outcome, Session
from stream.administration import create_topics
from stream.broker import EmbeddedBroker
from stream.settings import Settings
from tests.processes import Process, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TINY = RankerSettings(width=16, heads=2, hidden=8, items=64, users=1_024, attributes=64, contexts=16)
PATIENCE_S = 120.0


def label(number: int) -> LabeledSlate:
    outcomes = [
        Outcome(item_id=item, position=place, clicked=place == number % 3, final=True)
        for place, item in enumerate("abc")
    ]
    return LabeledSlate(
        request_id=f"r{number}",
        revision=0,
        user_id=f"u{number % 50}",
        ts=1_000 + number,
        observed_ts=2_000 + number,
        session=Session(),
        slate=list("abc"),
        outcomes=outcomes,
    )


def no_text(texts: Sequence[str]) -> Vectors:
    return np.zeros((len(texts), TINY.text_width), np.float32)


@pytest.fixture(scope="module")
def base() -> Base:
    labels = [label(number) for number in range(10_000, 10_064)]
    settings = BackfillSettings(epochs=1, patience=1)
    return train_base([], labels, no_text, DEFAULT_TEXT_ENCODER, TINY, settings).base


@pytest.fixture
def address() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        create_topics(Settings(broker=broker.address, partitions=4))
        yield broker.address


@pytest.fixture
def producer(address: str) -> Iterator[KafkaProducer]:
    made = connect_producer(Access(broker=address))
    yield made
    made.close(timeout=PATIENCE_S)


def send(producer: KafkaProducer, numbers: range) -> None:
    for number in numbers:
        made = label(number)
        producer.send(topics.LABELS.name, codec.encode(made), made.user_id.encode())
    producer.flush(PATIENCE_S)


def environment(address: str, directory: Path) -> dict[str, str]:
    given = {"broker": address, "state_dir": str(directory), "publish_ms": "50", "snapshot_s": "0.2"}
    return {variable(name): value for name, value in given.items()} | {"FRESHRANK_BATCH_MAX": "16"}


def start(address: str, directory: Path) -> Process:
    command = [sys.executable, "-m", "learner"]
    return Process(command, environment(address, directory), directory / "learner.log")


def snapshot_dir(directory: Path, base: Base) -> str:
    return LearnerSettings(state_dir=str(directory)).snapshot_dir(base.hash)


def learned(directory: Path, base: Base) -> int:
    """How many labels the newest snapshot reflects, by its offsets."""
    found = snapshots.newest(snapshot_dir(directory, base))
    return sum(found[1].offsets.values()) if found else 0


def test_killed_and_started_again_every_label_is_in_the_weights_once(
    address: str, producer: KafkaProducer, base: Base, tmp_path: Path
) -> None:
    save_base(base, tmp_path / "base")
    send(producer, range(200))
    with running(start(address, tmp_path)) as first:
        first.until(lambda: learned(tmp_path, base), PATIENCE_S, "a snapshot")
        send(producer, range(200, 400))
        first.kill()
    with running(start(address, tmp_path)) as second:
        second.until(lambda: learned(tmp_path, base) == 400, PATIENCE_S, "all labels in a snapshot")
        assert second.stop() == 0, second.tail()
        assert "restored snapshot" in second.output()
    online = OnlineLearner(base, no_text, UpdateSettings(), 0)
    found = snapshots.newest(snapshot_dir(tmp_path, base))
    assert found is not None
    online.restore(found[0])
    assert Counter(online.learned_ids()) == Counter(f"r{number}#0" for number in range(400))
    # Three outcomes a label: had one been learned twice, there would be more.
    assert online.examples_seen == 3 * 400


def test_a_single_label_is_published_and_an_order_to_stop_is_followed(
    address: str, producer: KafkaProducer, base: Base, tmp_path: Path
) -> None:
    save_base(base, tmp_path / "base")
    published: list[Manifest] = []
    assembler, stop = Assembler(), threading.Event()

    def take(record: Message) -> None:
        whole = assembler.fold(record.key, record.value, record.headers)
        if whole is not None:
            published.append(whole[0])

    follower = follow(Access(broker=address), topics.MODELS.name, take, stop)
    try:
        with running(start(address, tmp_path)) as learner:
            send(producer, range(1))
            learner.until(lambda: published, PATIENCE_S, "a checkpoint")
            assert learner.stop() == 0, learner.tail()
    finally:
        stop.set()
        assert follower.join(PATIENCE_S)
    assert (published[0].base, published[0].examples_seen) == (base.hash, 3)
    assert sum(published[0].offsets.values()) == 1


def test_without_a_base_it_says_what_to_do(address: str, tmp_path: Path) -> None:
    learner = start(address, tmp_path)
    with running(learner):
        assert learner.wait(PATIENCE_S) == 1
    assert "train one with `freshrank backfill`" in learner.output()
