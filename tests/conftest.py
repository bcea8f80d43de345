"""What tests share: brokers, topic prefixes, the real data sets, how long properties are searched."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.kafka.server import KafkaServer, resolve, version
from schemas.errors import BrokerError
from stream.broker import EmbeddedBroker

ROOT = Path(__file__).resolve().parent.parent
BROKERS = pytest.StashKey[dict[str, str]]()
"""Broker → what became of it in this run; shown at the end."""

# A run says the same of the same code on every machine: no example depends on chance or on the clock.
# `pytest --hypothesis-profile=wide --hypothesis-seed=N` searches further.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("wide", settings.get_profile("steady"), derandomize=False, max_examples=1_000)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BROKERS] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, outcome in sorted(config.stash[BROKERS].items()):
        terminalreporter.write_line(f"broker: {name}: {outcome}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of the real data sets: FRESHRANK_DATA, or `../shared/data` beside the repository."""
    path = Path(os.environ.get("FRESHRANK_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no data sets in {path}; set FRESHRANK_DATA")
    return path


@pytest.fixture(scope="session")
def embedded_broker(pytestconfig: pytest.Config) -> Iterator[EmbeddedBroker]:
    """The embedded broker, one for all tests: keep apart by `prefix`, and do not kill it."""
    with EmbeddedBroker() as broker:
        pytestconfig.stash[BROKERS]["embedded"] = "ran"
        yield broker


@pytest.fixture(scope="session")
def kafka_jars(pytestconfig: pytest.Config) -> Path:
    """The jars of a real Apache Kafka; skips with the reason where they cannot be had."""
    try:
        return resolve()
    except BrokerError as error:
        reason = str(error).splitlines()[0]
        pytestconfig.stash[BROKERS]["Apache Kafka"] = f"did not run: {reason}"
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def real_kafka(
    kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[KafkaServer]:
    """A real Apache Kafka, one for all tests. A test that kills one starts a `KafkaServer` of its own."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    server.start()
    try:
        pytestconfig.stash[BROKERS]["Apache Kafka"] = f"ran, {version()}"
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["embedded_broker", pytest.param("real_kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> str:
    """The address of each kind of broker in turn."""
    server: EmbeddedBroker | KafkaServer = request.getfixturevalue(request.param)
    return server.address


@pytest.fixture
def prefix() -> str:
    """A topic prefix of this test alone."""
    return f"t{uuid.uuid4().hex[:10]}."
