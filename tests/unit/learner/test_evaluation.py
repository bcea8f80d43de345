"""Metrics agree with scikit-learn, or with their definition written out."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score

from learner.evaluation import (
    auc,
    coverage,
    ece,
    gauc,
    hit_rate_at,
    log_loss,
    ndcg_at,
    rank_of,
    top_k,
    weighted_auc,
    weighted_mean,
)


def world(seed: int, n: int = 400, levels: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and targets that follow them."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(1, levels, n) / levels
    return scores, rng.random(n) < scores


@pytest.mark.parametrize("seed", range(5))
def test_auc_agrees_with_scikit_learn(seed: int) -> None:
    scores, targets = world(seed)
    assert auc(scores, targets) == pytest.approx(roc_auc_score(targets, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_auc_agrees_with_scikit_learn(seed: int) -> None:
    scores, targets = world(seed)
    weights = np.random.default_rng(seed).integers(0, 4, len(scores)).astype(float)
    expected = roc_auc_score(targets, scores, sample_weight=weights)
    assert weighted_auc(scores, targets)(weights) == pytest.approx(expected, abs=1e-12)


def test_auc_of_one_class_or_nothing_is_undefined() -> None:
    assert math.isnan(auc([0.1, 0.2], [1, 1]))
    assert math.isnan(auc([], []))


def test_log_loss_agrees_with_scikit_learn() -> None:
    scores, targets = world(0)
    assert log_loss(scores, targets) == pytest.approx(sklearn_log_loss(targets, scores))


def test_a_certain_mistake_costs_a_bounded_loss() -> None:
    assert log_loss([0.0, 1.0], [1, 0]) == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_ece_is_the_weighted_gap_of_equal_mass_bins() -> None:
    scores, targets = world(1, n=450)
    order = np.argsort(scores, kind="stable")
    gaps = [abs(scores[part].mean() - targets[part].mean()) * len(part) for part in np.array_split(order, 15)]
    assert ece(scores, targets) == pytest.approx(sum(gaps) / 450)


def test_gauc_is_each_users_auc_weighted_by_impressions() -> None:
    scores, targets = world(2)
    users = np.random.default_rng(2).integers(0, 60, len(scores))
    values, shown = [], []
    for user in np.unique(users):
        mine = users == user
        if 0 < targets[mine].sum() < mine.sum():
            values.append(roc_auc_score(targets[mine], scores[mine]))
            shown.append(mine.sum())
    assert gauc(scores, targets, users) == pytest.approx(np.average(values, weights=shown))


def test_gauc_without_a_user_of_both_classes_is_undefined() -> None:
    assert math.isnan(gauc([0.1, 0.2], [1, 0], ["a", "b"]))
    assert math.isnan(gauc([], [], []))


def test_ranks_count_half_the_ties() -> None:
    assert rank_of(2, np.array([0.9, 0.5, 0.5, 0.5])) == 3.0
    assert rank_of(0, np.zeros(101)) == 51.0


def test_ndcg_agrees_with_scikit_learn_on_one_relevant_item() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random((50, 40))
    relevant = np.zeros_like(scores)
    target = rng.integers(0, 40, 50)
    relevant[np.arange(50), target] = 1
    ranks = [rank_of(int(item), row) for item, row in zip(target, scores, strict=True)]
    assert ndcg_at(ranks, 10) == pytest.approx(ndcg_score(relevant, scores, k=10))


def test_an_item_never_seen_is_a_miss() -> None:
    assert hit_rate_at([math.inf], 10) == 0
    assert ndcg_at([math.inf, 1], 10) == 0.5


def test_top_k_holds_the_best_and_breaks_ties_by_the_seed() -> None:
    scores = np.array([0.5] * 50 + [0.9])
    first, again, other = (set(top_k(scores, 10, np.random.default_rng(seed)).tolist()) for seed in (0, 0, 1))
    assert 50 in first
    assert len(first) == 10
    assert first == again != other


def test_means_without_weight_and_empty_catalogues_are_undefined() -> None:
    assert math.isnan(weighted_mean([1.0])(np.zeros(1)))
    assert math.isnan(coverage(0, 0))
