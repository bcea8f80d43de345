"""A real Apache Kafka of each test's own, to be hurt, and the processes beside it."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.kafka.server import KafkaServer
from schemas.labels import LabeledSlate
from stream.administration import create_topics
from stream.process import free_port
from stream.settings import Settings
from tests.e2e.conftest import past  # noqa: F401
from tests.faults.expected import LabelKey, assert_same, labels_due, labels_sent
from tests.processes import Process, Worker
from tests.synthetic import World, world

PATIENCE_S = 90.0
LOOK_S = 1.0


class Site:
    """A broker, settings for its worker, and every process that was started here."""

    def __init__(self, server: KafkaServer, home: Path, closing: ExitStack) -> None:
        self.server = server
        self.home = home
        self._closing = closing
        name = f"f{uuid.uuid4().hex[:10]}"
        self.settings = Settings(
            broker=server.address,
            prefix=f"{name}.",
            group=name,
            state_dir=str(home / "state"),
            web_port=free_port(),
            roles=("label",),
            partitions=4,
            window_s=3.0,
            lateness_s=2.0,
        )
        create_topics(self.settings)

    def topic(self, name: str) -> str:
        return self.settings.prefix + name

    def start_worker(self, settings: Settings | None = None) -> Worker:
        """A worker that is ready; it ends with the test."""
        worker = Worker(settings or self.settings, self.home / "worker.log")
        self.adopt(worker)
        worker.wait_until_ready(PATIENCE_S)
        return worker

    def adopt(self, process: Process) -> None:
        """End a process with the test, if it has not ended by then."""
        self._closing.callback(lambda: process.is_alive() and process.kill())

    def settle(self, worker: Worker) -> dict[LabelKey, LabeledSlate]:
        """Wait until every label that is due was sent, compare them all, and return them."""
        due = labels_due(self.settings, self.settings.join)
        deadline = time.monotonic() + PATIENCE_S
        while due.keys() - (sent := labels_sent(self.settings)).keys() and time.monotonic() < deadline:
            assert worker.is_alive(), worker.tail()
            time.sleep(LOOK_S)
        assert_same(sent, due)
        return sent


@pytest.fixture(scope="session")
def planted() -> World:
    return world(n_users=60, n_items=80)


@pytest.fixture
def site(kafka_jars: Path, tmp_path: Path) -> Iterator[Site]:
    home = tmp_path / "kafka"
    home.mkdir()
    server = KafkaServer(home)
    server.start()
    with ExitStack() as closing:
        closing.callback(server.kill)
        yield Site(server, tmp_path, closing)


def eventually(holds: Callable[[], bool], process: Process, what: str) -> None:
    """Wait until something holds, within bounds, while a process lives."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert process.is_alive(), process.tail()
        assert time.monotonic() < deadline, f"{PATIENCE_S} s passed without {what}\n{process.tail()}"
        time.sleep(LOOK_S)
