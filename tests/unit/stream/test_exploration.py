from collections import Counter

import numpy as np
import pytest

from stream.exploration import POLICIES, EpsilonGreedy, Greedy, Policy, top

DRAWS = 6_000
SHAPES = [(1, 1), (5, 2), (6, 6), (7, 5), (3, 10)]
"""(items, k): also fewer items below the top than positions, none, and fewer items than asked for."""

policies = pytest.mark.parametrize(
    "policy", [make() for make in POLICIES.values()] + [EpsilonGreedy(0.6)], ids=str
)


@policies
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_propensities_are_the_frequencies(policy: Policy, n: int, k: int):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=n)
    shown: Counter[tuple[int, int]] = Counter()
    claimed: dict[tuple[int, int], float] = {}
    for _ in range(DRAWS):
        chosen, propensities = policy.select(scores, k, rng)
        assert len(set(chosen.tolist())) == len(chosen) == min(n, k)
        for place, (index, share) in enumerate(zip(chosen.tolist(), propensities.tolist(), strict=True)):
            shown[index, place] += 1
            assert claimed.setdefault((index, place), share) == share
            assert 0 < share <= 1
    for key, share in claimed.items():
        assert shown[key] / DRAWS == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / DRAWS) + 1e-9)


@policies
def test_the_same_seed_chooses_the_same(policy: Policy):
    scores = np.linspace(0, 1, 50)
    one, other = (policy.select(scores, 10, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@policies
def test_nothing_to_choose_from(policy: Policy):
    chosen, propensities = policy.select(np.array([]), 5, np.random.default_rng(0))
    assert len(chosen) == len(propensities) == 0


def test_greedy_is_the_top():
    chosen, _ = Greedy().select(np.array([0.2, 0.9, 0.9, 0.1]), 3, np.random.default_rng(0))
    assert chosen.tolist() == [1, 2, 0]


def test_top_agrees_with_sorting():
    scores = np.random.default_rng(0).normal(size=1_000)
    assert top(scores, 20).tolist() == np.argsort(-scores)[:20].tolist()


@pytest.mark.parametrize("epsilon", [-0.1, 1.0, float("nan")])
def test_epsilon_is_a_probability(epsilon):
    with pytest.raises(ValueError, match="epsilon"):
        EpsilonGreedy(epsilon)
