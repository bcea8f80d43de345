"""P6 in short: `make bench-learner BENCH="--only closed-loop"` runs it in full."""

from collections.abc import Sequence
from functools import cache

from learner.base import Base
from tests.closed_loop import Served, play, trained
from tests.closed_loop_world import Laws, World
from tests.synthetic import START_TS

LAWS = Laws(duration_s=120)


@cache
def base() -> Base:
    return trained(180, epochs=1)


@cache
def served(publish_s: int | None) -> Sequence[Served]:
    return play(World(LAWS, seed=0), base(), publish_s, seed=0)


def click_rate(run: Sequence[Served]) -> float:
    return sum(one.clicks for one in run) / sum(len(one.items) for one in run)


def test_what_users_answer_reaches_them_again_within_seconds():
    assert click_rate(served(1)) > 1.25 * click_rate(served(None))


def test_every_publish_interval_meets_the_same_visits():
    fresh, frozen = served(1), served(None)
    assert [(one.user, one.ts, one.since_turn_s) for one in fresh] == [
        (one.user, one.ts, one.since_turn_s) for one in frozen
    ]
    assert [one.items for one in fresh] != [one.items for one in frozen]


def test_nothing_that_was_answered_before_the_first_version_depends_on_the_interval():
    first = START_TS + 60_000
    minute, never = ([one for one in run if one.ts < first] for run in (served(60), served(None)))
    assert minute == never


def test_a_seed_plants_one_world_and_another_seed_another():
    one, same, other = World(LAWS, 0), World(LAWS, 0), World(LAWS, 1)
    assert one.visits == same.visits
    assert one.appeal == same.appeal
    assert one.appeal.keys().isdisjoint(other.appeal)


def test_no_slate_does_better_than_the_best():
    assert all(one.expected <= one.best + 1e-9 for one in served(1))
