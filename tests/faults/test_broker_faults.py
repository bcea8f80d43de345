"""A broker that goes away, for a while or for good: nobody loses a label, or burns a core waiting."""

import sys
import time

import psutil
import pytest

from tests.e2e.conftest import LEARNER_IS_READY, Past
from tests.faults.conftest import Site
from tests.faults.load import happenings, playing
from tests.processes import Process
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(400)]

OUTAGE_S = 30.0
IDLE_CORES = 0.5
"""More than this, while there is nothing to do but to wait, is a busy loop."""


def start_learner(site: Site, past: Past) -> Process:
    environment = {**site.settings.to_env(), "FRESHRANK_BASE": str(past.base), "FRESHRANK_CATALOGUE_S": "5"}
    learner = Process([sys.executable, "-m", "learner"], environment, site.home / "learner.log")
    site.adopt(learner)
    learner.until(lambda: LEARNER_IS_READY in learner.tail(), 60.0, "its catalogue")
    return learner


def cores_used(process: Process, seconds: float) -> float:
    """How many cores a process keeps busy."""
    watched = psutil.Process(process.pid)
    before = sum(watched.cpu_times()[:2])
    time.sleep(seconds)
    return (sum(watched.cpu_times()[:2]) - before) / seconds


def checkpoints(learner: Process) -> int:
    """How many a learner has published; its tail would tell of the last ones only."""
    return learner.log.read_text(errors="replace").count("published ")


def test_a_broker_that_is_stopped_and_started(site: Site, planted: World, past: Past) -> None:
    worker, learner = site.start_worker(), start_learner(site, past)
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 30)):
        time.sleep(5.0)
        site.server.stop()
        time.sleep(1.0)
        busy = cores_used(worker, OUTAGE_S / 2), cores_used(learner, OUTAGE_S / 2)
        site.server.start()
        before = checkpoints(learner)
        time.sleep(10.0)
    assert max(busy) < IDLE_CORES
    site.settle(worker)
    assert learner.is_alive(), learner.tail()
    learner.until(lambda: checkpoints(learner) > before, 30.0, "a checkpoint afterwards")


def test_a_broker_that_is_killed(site: Site, planted: World, past: Past) -> None:
    worker, learner = site.start_worker(), start_learner(site, past)
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 30)):
        time.sleep(5.0)
        site.server.kill()
        time.sleep(1.0)
        busy = cores_used(worker, 4.0), cores_used(learner, 4.0)
        site.server.start()
        before = checkpoints(learner)
        time.sleep(10.0)
    assert max(busy) < IDLE_CORES
    site.settle(worker)
    assert learner.is_alive(), learner.tail()
    learner.until(lambda: checkpoints(learner) > before, 30.0, "a checkpoint afterwards")


def test_without_a_broker_processes_end_when_they_are_told_and_say_why(site: Site, past: Past) -> None:
    worker, learner = site.start_worker(), start_learner(site, past)
    site.server.kill()
    time.sleep(3.0)
    for process, reason in ((worker, "is the broker gone?"), (learner, "BrokerError: ")):
        assert process.stop(timeout_s=30.0) != 0, process.tail()
        assert reason in process.tail(), process.tail()
