"""A broker that goes away, for a while or for good: nobody loses a label, or burns a core waiting."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest

from deploy.kafka.server import KafkaServer
from stream.process import HOST, free_port
from tests.certificates import Certificates
from tests.e2e.conftest import Past
from tests.faults.conftest import PASSWORD, Site, checkpoints, cpu_s, secured
from tests.faults.learned import assert_learned_once
from tests.faults.load import happenings, playing
from tests.processes import Worker
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

TOKEN, DATABASE_PASSWORD = "battery-staple", "horse-correct"
LINE_BYTES = 8_192
"""As long as nothing in the head of an HTTP request may be."""

Outage = Callable[[KafkaServer], AbstractContextManager[None]]
"""Lasts as long as its block."""

LEAVES = r"shutdown took longer than \d+ s \(is the broker gone\?\); leaving without it"

IDLE_CORES = 0.2
"""More than this, while there is nothing to do but to wait, is a busy loop."""


def test_a_broker_that_is_stopped_and_started(site: Site, planted: World, past: Past) -> None:
    outlive(site, planted, past, stopped(site.server), seconds=30.0)


def test_a_broker_that_is_killed_and_asks_who_one_is(
    site: Site, planted: World, past: Past, certificates: Certificates
) -> None:
    """Over TLS, with SCRAM: worker and learner make themselves known again; nobody's log tells how."""
    site.settings = replace(
        secured(site, certificates),
        web_token=TOKEN,
        database=f"postgresql+psycopg://u:{DATABASE_PASSWORD}@{HOST}:{free_port()}/nobody-listens",
        roles=("label", "score", "evaluate"),
        base=str(past.base),
    )
    worker = outlive(site, planted, past, killed(site.server), seconds=10.0)
    assert worker.get("/metrics", token="")[0] == 401
    assert worker.get("/metrics", token=f"{TOKEN}r")[0] == 401
    assert worker.get("/healthz", token="")[0] == 200
    assert worker.get("/recommendations/" + "u" * LINE_BYTES)[0] == 400
    refused = Worker(replace(site.settings, sasl_password=f"{PASSWORD}r"), site.home / "refused.log")
    site.adopt(refused)
    refused.until(lambda: "uthentication failed" in refused.tail(), 60.0, "being refused")
    said = {path.name: path.read_text(errors="replace") for path in site.home.rglob("*.log")}
    assert said.keys() == {"worker.log", "learner.log", "refused.log"}
    assert "database: write failed" in said["worker.log"]
    for secret in PASSWORD, TOKEN, DATABASE_PASSWORD:
        assert {name for name, text in said.items() if secret in text} == set()


def test_a_broker_that_hangs(site: Site, planted: World, past: Past) -> None:
    """Connections stay, and new ones are accepted, but nothing is answered."""
    outlive(site, planted, past, site.server.hanging(), seconds=25.0)


@contextmanager
def stopped(server: KafkaServer) -> Iterator[None]:
    """The broker shuts down in order, and is back when the block ends."""
    server.stop()
    yield
    server.start()


@contextmanager
def killed(server: KafkaServer) -> Iterator[None]:
    """The broker ends as by a crash, and is back when the block ends."""
    server.kill()
    yield
    server.start()


def outlive(
    site: Site, planted: World, past: Past, outage: AbstractContextManager[None], seconds: float
) -> Worker:
    """Worker and learner wait for the broker without haste, and then lose and repeat nothing."""
    worker, learner = site.start_loop(past.base, FRESHRANK_SNAPSHOT_S="2")
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 30)) as load:
        load.wait(5.0)
        learner.until(lambda: checkpoints(learner) > 0, 30.0, "a checkpoint before")
        with outage:
            used, began = (cpu_s(worker), cpu_s(learner)), time.monotonic()
            load.wait(seconds)
            lasted = time.monotonic() - began
            busy = (cpu_s(worker) - used[0]) / lasted, (cpu_s(learner) - used[1]) / lasted
        before = checkpoints(learner)
        load.wait(5.0)
    assert max(busy) < IDLE_CORES, f"expected worker and learner to wait, got {busy} of a core"
    site.settle(worker)
    learner.until(lambda: checkpoints(learner) > before, 30.0, "a checkpoint afterwards")
    assert_learned_once(site, learner, past.base)
    return worker


def test_a_worker_that_finds_no_broker_ends(site: Site) -> None:
    lost = replace(site.settings, broker=f"{HOST}:{free_port()}")
    worker = Worker(lost, site.home / "worker.log")
    site.adopt(worker)
    assert worker.wait(timeout_s=30.0) == 1
    assert "Unable to bootstrap" in worker.output()


def test_a_worker_that_has_nothing_to_send_says_so_as_well(site: Site) -> None:
    worker = site.start_worker()
    with site.server.hanging():
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.wait(timeout_s=30.0) == 1
    assert re.search(LEAVES, worker.output()), worker.tail()


@pytest.mark.parametrize("outage", [killed, KafkaServer.hanging])
def test_without_a_broker_processes_end_when_they_are_told_and_say_why(
    site: Site, planted: World, past: Past, outage: Outage
) -> None:
    """Within what orchestrators allow, although labels wait to be sent, and the learner for a checkpoint."""
    worker, learner = site.start_loop(past.base, FRESHRANK_PUBLISH_EXAMPLES="1")
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 30)) as load:
        learner.until(lambda: checkpoints(learner) > 0, 30.0, "a checkpoint before")
        with outage(site.server):
            load.wait(3.0)
            began = time.monotonic()
            for process in worker, learner:
                os.kill(process.pid, signal.SIGTERM)
            assert [process.wait(timeout_s=30.0) for process in (worker, learner)] == [1, 1]
            assert time.monotonic() - began < 30.0
    assert re.search(LEAVES, worker.output()), worker.tail()
    assert re.search(f"{LEAVES}|BrokerError: broker {site.settings.broker}: expected", learner.output())
    assert 'learner/__main__.py", line' not in learner.output(), f"a trace:\n{learner.tail()}"
