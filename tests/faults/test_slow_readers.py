"""A learner that stands still: its lag grows and is seen; the worker's pace and memory do not change."""

import os
import re
import signal
import sys
from dataclasses import replace

import psutil
import pytest

from tests.e2e.conftest import LEARNER_IS_READY, Past
from tests.faults.conftest import PATIENCE_S, Site, eventually
from tests.faults.load import happenings, playing
from tests.processes import Process, Worker
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(300)]

STALL_S = 20.0
KEPT = 0.8
"""Of its labels for each event a worker keeps so many; there is chance in when slates end."""

GROWTH_BYTES = 40_000_000
"""Of the worker's memory while a thousand labels wait: caches fill up; labels would not be seen in it."""


def gauge(worker: Worker, name: str) -> float:
    """The sum of a metric over its labels."""
    page = worker.get("/metrics")[1].decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? ([\d.e+]+)$", page, re.MULTILINE))


def test_a_learner_that_stands_still(site: Site, planted: World, past: Past) -> None:
    site.settings = replace(site.settings, roles=("label", "score"), base=str(past.base))
    worker = site.start_worker()
    environment = {**site.settings.to_env(), "FRESHRANK_CATALOGUE_S": "2"}
    learner = Process([sys.executable, "-m", "learner"], environment, site.home / "learner.log")
    site.adopt(learner)
    learner.until(lambda: LEARNER_IS_READY in learner.tail(), PATIENCE_S, "its catalogue")

    def pace(seconds: float) -> tuple[float, float]:
        """How many labels the worker makes meanwhile, and for each event that is sent."""
        labels, sent = gauge(worker, "freshrank_labels_total"), len(load.sent)
        load.wait(seconds)
        made = gauge(worker, "freshrank_labels_total") - labels
        return made, made / (len(load.sent) - sent)

    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 40)) as load:
        load.wait(10.0)
        _, usual = pace(STALL_S / 2)
        os.kill(learner.pid, signal.SIGSTOP)
        memory = psutil.Process(worker.pid).memory_info().rss
        made, stalled = pace(STALL_S)
        assert stalled > KEPT * usual
        assert gauge(worker, "freshrank_unlearned_labels") > 0.5 * made
        assert psutil.Process(worker.pid).memory_info().rss - memory < GROWTH_BYTES
        os.kill(learner.pid, signal.SIGCONT)
        eventually(lambda: gauge(worker, "freshrank_unlearned_labels") < 0.2 * made, worker, "the rest")
    site.settle(worker)
