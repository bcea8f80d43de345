"""The contract of every arm: it repeats, learns what is planted, and serves what was published."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from learner.arms import ARMS, Arm, Start
from learner.learned_arms import MEASURED_EVERY
from learner.query import TASKS, Query
from schemas.errors import BaseError
from schemas.labels import LabeledSlate, Outcome, Session, SessionItem
from tests.tiny import ITEMS, base, embed, labels

STILL = ("frozen",)
LEARNING = [name for name in ARMS if name not in STILL]
CLICK = TASKS.index("click")
LIKED, OTHERS = "i0", ("i1", "i2", "i5")
FAN = Session(recent=[SessionItem(item_id="i3", action="click", satisfaction=1.0, age_s=60)])


def start(name: str, seed: int = 0, slates: Sequence[LabeledSlate] = ()) -> Arm:
    """An arm on the tiny world; its base is trained once."""
    embed_of, base_of = (embed, base()) if ARMS[name].needs_base else (None, None)
    return ARMS[name].make(Start(items=ITEMS, slates=slates, seed=seed, embed=embed_of, base=base_of))


def query(*items: str, ts: int = 2_000_000) -> Query:
    return Query(user_id="u0", session=FAN, ts=ts, candidates=items)


@cache
def planted() -> list[LabeledSlate]:
    """User u0 clicks one item whenever it is shown, and never another."""
    return [_slate(n, item, clicked=item == LIKED) for n in range(60) for item in (LIKED, OTHERS[n % 3])]


def _slate(number: int, item: str, clicked: bool) -> LabeledSlate:
    return LabeledSlate(
        request_id=f"p{number}-{item}",
        revision=0,
        user_id="u0",
        ts=1_000_000 + number,
        observed_ts=1_000_000 + number,
        session=FAN,
        slate=[item],
        outcomes=[Outcome(item_id=item, position=0, clicked=clicked, satisfaction=clicked, final=True)],
    )


def taught(name: str, seed: int = 0) -> Arm:
    arm = start(name, seed)
    for first in range(0, len(planted()), 6):
        arm.learn(planted()[first : first + 6])
        arm.publish()
    return arm


def answers(arm: Arm, *queries: Query) -> list[NDArray[np.floating]]:
    return arm.score(queries)


@pytest.mark.parametrize("name", ARMS)
class TestEveryArm:
    def test_answers_with_probabilities(self, name: str) -> None:
        for scores, count in zip(answers(start(name), query("i0", "new"), query("i1")), (2, 1), strict=True):
            assert scores.shape == (count, len(TASKS))
            assert ((scores >= 0) & (scores <= 1)).all()

    def test_repeats_with_the_same_seed(self, name: str) -> None:
        asked = query(LIKED, *OTHERS)
        one, other = (answers(taught(name), asked)[0] for _ in range(2))
        np.testing.assert_array_equal(one, other)

    def test_one_query_at_a_time_or_many_is_the_same(self, name: str) -> None:
        arm, asked = taught(name), [query(LIKED, "i1"), query("i2", ts=2_500_000)]
        apart = [arm.score([one])[0] for one in asked]
        for one, other in zip(arm.score(asked), apart, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)

    def test_a_copy_goes_on_serving_what_was_published(self, name: str) -> None:
        arm, asked = start(name, slates=labels(40, seed=2)), query(LIKED, *OTHERS)
        copy = arm.serving()
        before = arm.score([asked])[0]
        arm.learn(planted())
        arm.publish()
        np.testing.assert_allclose(copy.score([asked])[0], before, atol=1e-6)

    def test_says_what_it_costs(self, name: str) -> None:
        arm = taught(name)
        assert arm.trained_parameters > 0 or name in STILL
        assert all(size > 0 for size in arm.published_bytes)


@pytest.mark.parametrize("name", LEARNING)
def test_learns_a_planted_preference(name: str) -> None:
    """What u0 clicks gains on what u0 does not."""
    asked = query(LIKED, *OTHERS)
    before, after = (answers(arm, asked)[0][:, CLICK] for arm in (start(name), taught(name)))
    assert after[0] - after[1:].mean() > before[0] - before[1:].mean()


@pytest.mark.parametrize("name", [name for name in ARMS if ARMS[name].needs_base])
def test_an_arm_of_the_base_says_that_it_needs_one(name: str) -> None:
    with pytest.raises(BaseError, match="expected a trained base"):
        ARMS[name].make(Start(items=[], slates=[], seed=0))


@pytest.mark.parametrize("name", [name for name in ARMS if not ARMS[name].chance])
def test_without_chance_the_seed_is_nothing(name: str) -> None:
    asked = query(LIKED, *OTHERS)
    one, other = (answers(taught(name, seed), asked)[0] for seed in (0, 1))
    np.testing.assert_array_equal(one, other)


def test_a_batch_arm_serves_the_last_training_until_the_next() -> None:
    arm, asked = start("batch-hourly"), query(LIKED, *OTHERS)
    before = arm.score([asked])[0]
    arm.learn(planted())
    np.testing.assert_array_equal(arm.score([asked])[0], before)
    arm.publish()
    assert (arm.score([asked])[0] != before).any()


def test_every_change_of_full_is_published_and_little_of_low_rank() -> None:
    sizes = {name: taught(name).published_bytes[-1] for name in ("full", "head")}
    assert sizes["full"] > 2 * sizes["head"]


def test_a_version_of_full_carries_the_rows_since_the_last() -> None:
    arm = start("full")
    arm.learn(planted())
    for _ in range(MEASURED_EVERY + 1):
        arm.publish()
    first, last = arm.published_bytes
    assert last < first


def test_fixed_rank_has_the_rank_that_adalora_has_in_the_mean() -> None:
    assert taught("lora").trained_parameters < taught("adalora").trained_parameters
