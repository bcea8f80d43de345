"""A learner or a scorer that is too slow: its lag grows and is seen; the worker's pace and memory stay."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import psutil
import pytest

from schemas.codec import encode
from schemas.recommendation import RecommendationRequest
from schemas.topics import REQUESTS
from stream.replay import open_producer
from tests.e2e.conftest import Past
from tests.faults.conftest import Site, eventually, gauge
from tests.faults.load import Load, happenings, playing
from tests.processes import Process, Worker
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

STALL_S = 20.0
KEPT = 0.8
"""Of its labels for each event a worker keeps so many; there is chance in when slates end."""

GROWTH_BYTES = 40_000_000
"""Of the worker's memory while a thousand labels wait: caches fill up; labels would not be seen in it."""

REQUESTS_SENT, CANDIDATES = 20_000, 200
QUEUE_BYTES = 150_000_000
"""Of the worker's memory while twenty thousand requests of 3 kB wait, of which Faust holds 16,384 at most."""


def pace(load: Load, worker: Worker, seconds: float) -> tuple[float, float]:
    """How many labels the worker makes meanwhile, and for each event that is sent."""
    labels, sent = gauge(worker, "freshrank_labels_total"), len(load.sent)
    load.wait(seconds)
    made = gauge(worker, "freshrank_labels_total") - labels
    return made, made / (len(load.sent) - sent)


def memory(worker: Worker) -> int:
    return int(psutil.Process(worker.pid).memory_info().rss)


class Run(NamedTuple):
    """Worker and learner under a load, and how many labels for each event the worker usually makes."""

    load: Load
    worker: Worker
    learner: Process
    usual: float


@contextmanager
def running(site: Site, planted: World, past: Past) -> Iterator[Run]:
    """All labels are as they should be when the block has ended."""
    site.settings = replace(site.settings, roles=("label", "score"), base=str(past.base))
    worker, learner = site.start_loop(past.base)
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 40)) as load:
        load.wait(10.0)
        _, usual = pace(load, worker, STALL_S / 2)
        yield Run(load, worker, learner, usual)
    site.settle(worker)


def test_a_learner_that_stands_still(site: Site, planted: World, past: Past) -> None:
    with running(site, planted, past) as (load, worker, learner, usual):
        os.kill(learner.pid, signal.SIGSTOP)
        before = memory(worker)
        made, stalled = pace(load, worker, STALL_S)
        assert stalled > KEPT * usual
        assert gauge(worker, "freshrank_unlearned_labels") > 0.5 * made
        assert memory(worker) - before < GROWTH_BYTES
        os.kill(learner.pid, signal.SIGCONT)
        eventually(lambda: gauge(worker, "freshrank_unlearned_labels") < 0.2 * made, worker, "the rest")


def test_a_scorer_that_is_asked_for_more_than_it_can_answer(site: Site, planted: World, past: Past) -> None:
    with running(site, planted, past) as (load, worker, _, usual):
        before = memory(worker)
        labels, sent = gauge(worker, "freshrank_labels_total"), len(load.sent)
        ask(site, list(planted.likes))
        # The worker knows of what waits by the answer to its next fetch.
        eventually(lambda: gauge(worker, "freshrank_lag", topic=REQUESTS.name) > 1_000, worker, "a pile")
        assert memory(worker) - before < QUEUE_BYTES
        eventually(lambda: gauge(worker, "freshrank_lag", topic=REQUESTS.name) == 0, worker, "every answer")
        load.wait(5.0)
        flooded = (gauge(worker, "freshrank_labels_total") - labels) / (len(load.sent) - sent)
        assert flooded > KEPT * usual
        assert memory(worker) - before < QUEUE_BYTES
        answered = gauge(worker, "freshrank_recommendations_total", kind="request")
        assert answered == REQUESTS_SENT


def ask(site: Site, users: Sequence[str]) -> None:
    """Ask, at once, for far more recommendations than are answered in a second."""
    candidates = [f"item-{number}" for number in range(CANDIDATES)]
    asked = [
        encode(RecommendationRequest(request_id="r", user_id=user, ts=1, k=10, candidates=candidates))
        for user in users
    ]
    with open_producer(site.settings) as producer:
        for number in range(REQUESTS_SENT):
            place = number % len(users)
            producer.send(site.topic(REQUESTS.name), asked[place], users[place].encode())
        producer.flush(timeout=60)
