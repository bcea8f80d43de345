"""Negatives beyond the slate: drawn as said, and never what the user engaged with."""

import numpy as np
import pytest
from numpy.typing import NDArray

from learner.negatives import Negatives, NegativeSettings

SHORTLIST = np.arange(1, 9, dtype=np.int32)
NONE = np.zeros(0, np.int32)


def negatives(hard: int = 4, sampled: int = 4) -> Negatives:
    made = Negatives(NegativeSettings(hard=hard, sampled=sampled, recent=64, users=2, per_user=3))
    for row in (10, 10, 10, 11):
        made.fold(1, row)
    return made


def test_nothing_excluded_is_drawn() -> None:
    excluded = np.array([1, 2, 3, 10], np.int32)
    for seed in range(20):
        drawn = negatives().draw(SHORTLIST, excluded, np.random.default_rng(seed))
        assert not np.isin(drawn.rows, excluded).any()
        assert len(drawn.rows) == len(drawn.log_q) > 0


def test_log_q_is_of_the_mixture() -> None:
    drawn = negatives().draw(SHORTLIST, NONE, np.random.default_rng(0))
    listed = drawn.rows < 10
    assert listed.sum() == 4
    assert np.exp(drawn.log_q[listed]) == pytest.approx(4 / 8)
    assert np.exp(drawn.log_q[drawn.rows == 10]) == pytest.approx(4 * 0.75)


@pytest.mark.parametrize("excluded", [NONE, np.array([1, 2, 3, 4, 5, 31, 40], np.int32)])
def test_what_is_drawn_stands_for_all_that_may_be(excluded: NDArray[np.int32]) -> None:
    """Five of 30 items have half of all engagements; two of them are also on the shortlist."""
    rng = np.random.default_rng(0)
    made = Negatives(NegativeSettings(hard=4, sampled=16))
    for row in rng.choice(30, 8_000, p=np.r_[np.full(5, 0.1), np.full(25, 0.02)]) + 1:
        made.fold(0, int(row))
    shortlist = np.array([4, 5, *range(31, 41)], np.int32)
    sums = [np.exp(-made.draw(shortlist, excluded, rng).log_q).sum() for _ in range(2_000)]
    assert np.mean(sums) == pytest.approx(40 - len(excluded), rel=0.02)


def test_nothing_to_draw_gives_nothing() -> None:
    drawn = Negatives(NegativeSettings()).draw(NONE, NONE, np.random.default_rng(0))
    assert len(drawn.rows) == 0


def test_memory_is_bounded_by_users_and_by_items_of_a_user() -> None:
    made = negatives()
    assert made.engaged(1).tolist() == [10, 10, 11]
    for user in (2, 3):
        made.fold(user, 5)
    assert made.engaged(1).tolist() == []
    assert made.engaged(3).tolist() == [5]


def test_restoring_is_as_if_nothing_had_happened() -> None:
    made, other = negatives(), Negatives(NegativeSettings(hard=4, sampled=4, recent=64, users=2, per_user=3))
    other.restore(made.snapshot())
    assert other.engaged(1).tolist() == made.engaged(1).tolist()
    drawn, again = (one.draw(SHORTLIST, NONE, np.random.default_rng(1)) for one in (made, other))
    assert drawn.rows.tolist() == again.rows.tolist()
    assert drawn.log_q == pytest.approx(again.log_q)


def test_what_became_popular_lately_stands_for_itself_alone() -> None:
    rng, made = np.random.default_rng(0), Negatives(NegativeSettings(hard=0, sampled=16, recent=512))
    for row in [
        *rng.integers(1, 101, 20_000),
        *np.where(rng.random(1_000) < 0.2, 101, rng.integers(1, 51, 1_000)),
    ]:
        made.fold(0, int(row))
    drawn = [made.draw(NONE, NONE, rng) for _ in range(2_000)]
    new = [np.exp(-one.log_q[one.rows == 101]).sum() for one in drawn]
    assert np.mean(new) == pytest.approx(1, rel=0.05)
