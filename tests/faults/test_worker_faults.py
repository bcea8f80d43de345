"""Workers that are killed, join and leave: the labels are those of an undisturbed fold."""

import time
from dataclasses import replace

import pytest

from stream.process import free_port
from tests.faults.conftest import Site
from tests.faults.load import happenings, playing
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(400)]

SLATES_PER_SECOND = 30
LONGEST_S = 300


def test_a_worker_killed_ten_times_under_load(site: Site, planted: World) -> None:
    events = happenings(planted, LONGEST_S, SLATES_PER_SECOND)
    worker = site.start_worker()
    with playing(site.settings, site.settings.prefix, events) as load:
        for _ in range(10):
            time.sleep(2.0)
            worker.kill()
            worker = site.start_worker()
        time.sleep(2.0)
    assert len(load.sent) > 500
    assert len(site.settle(worker)) > 500


def test_a_second_worker_joins_and_leaves_five_times(site: Site, planted: World) -> None:
    events = happenings(planted, LONGEST_S, SLATES_PER_SECOND)
    first = site.start_worker()
    with playing(site.settings, site.settings.prefix, events):
        for _ in range(5):
            second = site.start_worker(replace(site.settings, web_port=free_port()))
            time.sleep(2.0)
            assert second.stop() == 0
            time.sleep(1.0)
    site.settle(first)
