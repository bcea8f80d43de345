"""Brokers as processes: they come up, say why not, end with their owner, and survive a crash."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.kafka.server import KafkaServer
from schemas.access import Access
from schemas.errors import BrokerError
from stream.administration import open_admin
from stream.broker import EmbeddedBroker
from stream.process import HOST, ServerProcess, free_port, is_listening

ORPHAN = """
import os, signal
from stream.broker import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(broker.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def eventually(holds: Callable[[], bool], within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def test_the_embedded_broker_answers_and_leaves_nothing_behind() -> None:
    with EmbeddedBroker() as broker:
        pid = broker.pid
        assert pid is not None
        with open_admin(Access(broker=broker.address)) as admin:
            admin.list_topics()
        files = {Path(file.path) for file in psutil.Process(pid).open_files()}
        home = next(file.parent for file in files if file.name == "output.log")
    assert not psutil.pid_exists(pid)
    assert not is_listening(HOST, broker.port)
    assert not home.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_the_embedded_broker_dies_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    # Its directory cannot be removed by anybody then: it goes where the test's own files go.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=60, env=environment
    )
    pid = int(done.stdout)
    assert eventually(lambda: not psutil.pid_exists(pid))


def test_a_command_that_ends_early_is_an_error_with_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such option')"]
    server = ServerProcess(command, free_port(), tmp_path / "log")
    with pytest.raises(BrokerError, match=r"got exit status 1; its last output:\nno such option"):
        server.start(timeout_s=30)
    assert server.pid is None


def test_a_command_that_does_not_listen_is_ended(tmp_path: Path) -> None:
    server = ServerProcess(["sleep", "60"], free_port(), tmp_path / "log")
    with pytest.raises(BrokerError, match=r"expected it to listen on .* within 0.2 s, got nothing"):
        server.start(timeout_s=0.2)
    assert server.pid is None


def test_a_command_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="no-such-broker: expected to start it"):
        ServerProcess(["no-such-broker"], free_port(), tmp_path / "log").start(timeout_s=1)


@pytest.mark.kafka
def test_a_killed_kafka_comes_back_with_its_topics(kafka_jars: Path, tmp_path: Path) -> None:
    server = KafkaServer(tmp_path)
    server.start()
    try:
        with open_admin(Access(broker=server.address)) as admin:
            admin.create_topics({"kept": {"num_partitions": 2, "replication_factor": 1}})
            admin.wait_for_topics(["kept"])
        server.kill()
        assert not is_listening(HOST, server.port)
        server.start()
        with open_admin(Access(broker=server.address)) as admin:
            admin.wait_for_topics(["kept"])
            assert admin.list_topics() == ["kept"]
    finally:
        server.stop()
