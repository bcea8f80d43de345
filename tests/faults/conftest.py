"""A real Apache Kafka to be hurt, mended before the next test, and the processes beside it."""

import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.kafka.server import Identity, KafkaServer
from schemas.access import Access
from schemas.labels import LabeledSlate
from stream.administration import create_topics
from stream.process import HOST, free_port, is_listening
from stream.settings import Settings
from tests.certificates import Certificates, make_certificates
from tests.e2e.conftest import LEARNER_IS_READY, past  # noqa: F401
from tests.faults.expected import LabelKey, assert_same, labels_due, labels_sent
from tests.processes import Process, Worker
from tests.synthetic import World, world

PATIENCE_S = 180.0
LOOK_S = 1.0
USER, PASSWORD = "freshrank", "correct-horse"


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

    def start_worker(self, settings: Settings | None = None, log: str = "worker.log") -> Worker:
        """A worker that is ready; it ends with the test."""
        worker = Worker(settings or self.settings, self.home / log)
        self.adopt(worker)
        worker.wait_until_ready(PATIENCE_S)
        return worker

    def start_loop(self, base: Path, **given: str) -> tuple[Worker, Process]:
        """A worker and a learner, both ready, and started at the same time."""
        learner = self.launch_learner(base, given)
        worker = self.start_worker()
        self.await_learner(learner)
        return worker, learner

    def start_learner(self, base: Path, **given: str) -> Process:
        """A learner that has read the catalogue, quick to publish; `given` are further variables."""
        learner = self.launch_learner(base, given)
        self.await_learner(learner)
        return learner

    def await_learner(self, learner: Process) -> None:
        """Return when a learner has read the catalogue."""
        learner.until(lambda: LEARNER_IS_READY in learner.output(), PATIENCE_S, "its catalogue")

    def launch_learner(self, base: Path, given: Mapping[str, str]) -> Process:
        """A learner that has just been started."""
        quick = {"FRESHRANK_BASE": str(base), "FRESHRANK_CATALOGUE_S": "5", "FRESHRANK_USER_SHARE": "1"}
        environment = {**self.settings.to_env(), **quick, **given}
        learner = Process([sys.executable, "-m", "learner"], environment, self.home / "learner.log")
        self.adopt(learner)
        return learner

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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def server(
    kafka_jars: Path, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaServer]:
    """One broker for all; it listens in plain text, and over TLS with SCRAM."""
    identity = Identity(
        keystore=certificates.broker, authority=certificates.authority, username=USER, password=PASSWORD
    )
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), identity)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def site(server: KafkaServer, tmp_path: Path) -> Iterator[Site]:
    if not is_listening(HOST, server.port):
        server.kill()
        server.start()
    with ExitStack() as closing:
        yield Site(server, tmp_path, closing)


def secured(site: Site, certificates: Certificates) -> Settings:
    """The site's settings, by the broker's door that asks who one is."""
    access = Access(
        broker=f"{HOST}:{site.server.sasl_port}",
        security="SASL_SSL",
        sasl_username=USER,
        sasl_password=PASSWORD,
        tls_ca=str(certificates.authority),
    )
    return replace(site.settings, **vars(access))


def eventually(holds: Callable[[], bool], process: Process, what: str) -> None:
    """Wait until something holds, within bounds, while a process lives."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert process.is_alive(), process.tail()
        assert time.monotonic() < deadline, f"{PATIENCE_S} s passed without {what}\n{process.tail()}"
        time.sleep(LOOK_S)


def cpu_s(process: Process) -> float:
    """Seconds of CPU that a process has used so far."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def checkpoints(learner: Process) -> int:
    """How many a learner has published; its tail would tell of the last ones only."""
    return learner.log.read_text(errors="replace").count("published ")


def gauge(worker: Worker, name: str, **labels: str) -> float:
    """The sum of a metric over its labels, those that are given."""
    page = worker.get("/metrics")[1].decode()
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", page, re.MULTILINE)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(float(value) for told, value in found if all(one in told for one in wanted))
