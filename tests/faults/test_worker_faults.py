"""Workers that are killed, join and leave: the labels are those of an undisturbed fold."""

import random
from dataclasses import replace

import pytest

from schemas.topics import USER_EVENTS
from stream.administration import open_admin
from stream.join_settings import REFINEMENTS
from stream.process import free_port
from stream.settings import Settings
from tests.faults.conftest import Site, eventually, gauge
from tests.faults.load import happenings, playing
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

SLATES_PER_SECOND = 30
LONGEST_S = 300


def committed(settings: Settings) -> int:
    """How many messages of user events the group is done with."""
    names = {settings.prefix + topic.name for topic in USER_EVENTS}
    with open_admin(settings) as admin:
        found = admin.list_group_offsets([settings.group])
    return sum(at.offset for tp, at in found[settings.group].items() if tp.topic in names and at.offset > 0)


def test_a_worker_killed_ten_times_under_load(site: Site, planted: World) -> None:
    """With all refinements: what labels are refined by has to survive as well."""
    site.settings = replace(site.settings, refine=tuple(sorted(REFINEMENTS)))
    chance = random.Random(0)
    events = happenings(planted, LONGEST_S, SLATES_PER_SECOND)
    worker = site.start_worker()
    done = [0]
    with playing(site.settings, site.settings.prefix, events) as load:
        for _ in range(10):
            load.wait(chance.uniform(2.0, 7.0))
            worker.kill()
            done.append(committed(site.settings))
            worker = site.start_worker()
        load.wait(2.0)
    assert len(set(done)) >= 3, (
        f"expected most workers to go on from where one before had come to, got {done}"
    )
    assert len(load.sent) > 1_000
    assert len(site.settle(worker)) > 1_000


def test_a_second_worker_joins_and_leaves_five_times(site: Site, planted: World) -> None:
    """It leaves in order, but for the last time: then it is killed, and its partitions have to wait."""
    events = happenings(planted, LONGEST_S, SLATES_PER_SECOND)
    first = site.start_worker()
    with playing(site.settings, site.settings.prefix, events) as load:
        for turn in range(5):
            second = site.start_worker(replace(site.settings, web_port=free_port()))
            eventually(
                lambda worker=second: gauge(worker, "freshrank_labels_total") > 50, second, "its share"
            )
            if turn < 4:
                assert second.stop() == 0, second.tail()
            else:
                second.kill()
            load.wait(1.0)
    site.settle(first)
