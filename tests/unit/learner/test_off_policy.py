"""Off-policy estimates on a planted bandit whose truth is known."""

import numpy as np
import pytest

from learner.off_policy import Exposures, click_rates, evaluate, on_policy, policy_of

PLACES, ITEMS, SHOWN = 2, 5, 20_000
RATES = np.outer([1.0, 0.5], [0.05, 0.1, 0.2, 0.3, 0.4])
UNIFORM = np.full((PLACES, ITEMS), 1 / ITEMS)
GREEDY = np.tile([0.05, 0.05, 0.1, 0.2, 0.6], (PLACES, 1))


def log(policy: np.ndarray, seed: int) -> Exposures:
    rng = np.random.default_rng(seed)
    places = rng.integers(PLACES, size=SHOWN)
    items = np.array([rng.choice(ITEMS, p=policy[place]) for place in places])
    return Exposures(
        users=np.array([f"u{n}" for n in rng.integers(500, size=SHOWN)]),
        items=items,
        places=places,
        clicked=(rng.random(SHOWN) < RATES[places, items]).astype(np.float64),
        propensities=policy[places, items],
    )


def value(policy: np.ndarray) -> float:
    return float((policy * RATES).sum(1).mean())


@pytest.mark.parametrize(
    ("estimator", "error"),
    [("IPS", 0.08), ("SNIPS", 0.08), ("DR", 0.08), ("DM", 0.2)],  # a shrunk model is biased: DR mends it
)
@pytest.mark.parametrize(("target", "logged"), [(GREEDY, UNIFORM), (UNIFORM, GREEDY)])
def test_finds_the_value_of_the_other_policy(
    estimator: str, error: float, target: np.ndarray, logged: np.ndarray
) -> None:
    found = evaluate(log(target, 0), log(logged, 1), ITEMS, PLACES)[estimator]
    assert found.value == pytest.approx(value(target), rel=error)
    assert found.relative_error < error + 0.02
    assert found.ci95 is not None
    assert found.ci95[0] < found.value < found.ci95[1]


def test_a_policy_that_does_not_change_is_read_from_its_propensities() -> None:
    np.testing.assert_allclose(policy_of(log(GREEDY, 0), ITEMS, PLACES), GREEDY)


def test_a_policy_that_changes_is_its_mean_over_time() -> None:
    """Half the time 0.1, half the time 0.9: shown mostly in the second half, yet 0.5 in the mean."""
    rng = np.random.default_rng(0)
    chance = np.where(np.arange(SHOWN) < SHOWN / 2, 0.1, 0.9)
    first = rng.random(SHOWN) < chance
    shown = Exposures(
        users=np.array(["u"] * SHOWN),
        items=np.where(first, 0, 1),
        places=np.zeros(SHOWN, np.intp),
        clicked=np.zeros(SHOWN),
        propensities=np.where(first, chance, 1 - chance),
    )
    assert policy_of(shown, 2, 1)[0, 0] == pytest.approx(0.5, abs=0.02)


def test_the_model_knows_good_items_and_good_places() -> None:
    rates = click_rates(log(UNIFORM, 0), ITEMS, PLACES)
    assert (np.diff(rates, axis=1) > 0).all()
    assert (rates[0] > rates[1]).all()


def test_a_policys_own_mean_lies_in_its_interval() -> None:
    mean, ci95 = on_policy(log(GREEDY, 0))
    assert ci95 is not None
    assert ci95[0] < mean < ci95[1]
    assert mean == pytest.approx(value(GREEDY), rel=0.05)
