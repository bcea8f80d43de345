"""Bootstrap over users: as wide as theory says, paired, and the same for the same seed."""

import numpy as np
import pytest

from learner.evaluation import weighted_mean
from learner.intervals import bootstrap, interval


def test_users_and_not_observations_are_drawn() -> None:
    """Ten copies of each user's one value must not narrow the interval of the mean."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    replicates = bootstrap(np.repeat(np.arange(400), 10), [weighted_mean(np.repeat(values, 10))], 1, 2_000)
    assert replicates.std() == pytest.approx(values.std() / 20, rel=0.1)


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=300)
    one, other = bootstrap(np.arange(300), [weighted_mean(values + 0.01), weighted_mean(values)], 0).T
    low, high = interval(one - other)
    assert (low, high) == pytest.approx((0.01, 0.01))


def test_the_seed_decides() -> None:
    users, metric = ["a", "b", "c", "b"], [weighted_mean([0.0, 1.0, 3.0, 5.0])]
    np.testing.assert_array_equal(bootstrap(users, metric, 7), bootstrap(users, metric, 7))
    assert not np.array_equal(bootstrap(users, metric, 7), bootstrap(users, metric, 8))


def test_a_metric_that_is_mostly_undefined_has_no_interval() -> None:
    assert interval(np.array([np.nan, np.nan, 1.0])) is None
    assert interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)
