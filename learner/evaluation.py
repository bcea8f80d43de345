"""PURE: the metrics of test-then-train evaluation. Arguments are arrays [n]; ties count half."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]
Weighted = Callable[[Floats], float]
"""A metric of fixed observations, as a function of their weights [n]: what a bootstrap resamples."""

_SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1, so that one certain mistake does not decide a log loss."""


def auc(scores: ArrayLike, targets: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative; NaN for one class only.

    >>> auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    0.875
    """
    return weighted_auc(scores, targets)(np.ones(np.size(scores)))


def weighted_auc(scores: ArrayLike, targets: ArrayLike) -> Weighted:
    """AUC as a function of the weights. Sorts once, so that every call costs one pass over n."""
    order = np.argsort(scores, kind="stable")
    ordered = np.asarray(scores)[order]
    positive = np.asarray(targets, bool)[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else np.empty(0, np.intp)

    def value(weights: Floats) -> float:
        weight = weights[order]
        if not len(starts):
            return float("nan")
        positives = np.add.reduceat(weight * positive, starts)
        negatives = np.add.reduceat(weight * ~positive, starts)
        below = np.cumsum(negatives) - negatives / 2
        pairs = positives.sum() * negatives.sum()
        return float(positives @ below / pairs) if pairs else float("nan")

    return value


def weighted_mean(values: ArrayLike) -> Weighted:
    """The mean as a function of the weights; NaN where they sum to 0."""
    fixed = np.asarray(values, np.float64)

    def value(weights: Floats) -> float:
        total = weights.sum()
        return float(fixed @ weights / total) if total else float("nan")

    return value


def log_losses(probabilities: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """Negative log likelihood of each target, in nats."""
    p = np.clip(np.asarray(probabilities, np.float64), _SMALLEST, 1 - _SMALLEST)
    return -np.log(np.where(np.asarray(targets, bool), p, 1 - p))


def log_loss(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Mean negative log likelihood, in nats; NaN without observations.

    >>> round(log_loss([0.5, 0.5], [0, 1]), 4)
    0.6931
    """
    losses = log_losses(probabilities, targets)
    return float(losses.mean()) if len(losses) else float("nan")


def ece(probabilities: ArrayLike, targets: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass: mean |predicted − observed|, weighted by bin size.

    >>> ece([0.25, 0.25, 0.75, 0.75], [0, 0, 1, 1], bins=2)
    0.25
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(targets, np.float64)
    if not len(p):
        return float("nan")
    parts = np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))
    return float(sum(abs(p[part].sum() - y[part].sum()) for part in parts) / len(p))


def gauc(scores: ArrayLike, targets: ArrayLike, users: ArrayLike) -> float:
    """AUC per user with both classes, weighted by the user's impressions; NaN without such a user.

    Compare only arms that publish at the same interval: a score that moves between a user's impressions
    learns from a positive and so lifts the negatives after it.
    """
    _, user = np.unique(users, return_inverse=True)
    if not len(user):
        return float("nan")
    positive = np.asarray(targets, bool)
    shown = np.bincount(user)
    positives = np.bincount(user, positive)
    pairs = positives * (shown - positives)
    ranks = _ranks_within(user, np.asarray(scores))
    above = np.bincount(user, ranks * positive) - positives * (positives + 1) / 2
    both = pairs > 0
    if not both.any():
        return float("nan")
    return float(np.average(above[both] / pairs[both], weights=shown[both]))


def _ranks_within(group: NDArray[np.intp], scores: Floats) -> NDArray[np.float64]:
    """Rank from 1, lowest first, of each score within its group; ties share the mean rank."""
    order = np.lexsort((scores, group))
    g, s = group[order], scores[order]
    tie_starts = np.flatnonzero(np.r_[True, (g[1:] != g[:-1]) | (s[1:] != s[:-1])])
    sizes = np.diff(np.r_[tie_starts, len(order)])
    group_starts = np.flatnonzero(np.r_[True, g[1:] != g[:-1]])
    first_of_group = group_starts[g[tie_starts]]
    ranks = np.empty(len(order))
    ranks[order] = np.repeat(tie_starts - first_of_group + (sizes + 1) / 2, sizes)
    return ranks


def rank_of(target: int, scores: Floats) -> float:
    """Rank from 1 of one candidate among all: 1 + those that score higher + half of those that tie.

    >>> rank_of(0, np.array([0.5, 0.9, 0.5, 0.1]))
    2.5
    """
    own = scores[target]
    return float(1 + np.count_nonzero(scores > own) + (np.count_nonzero(scores == own) - 1) / 2)


def hits_at(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """1 where the relevant item is among the first k, else 0. A missed item has rank infinity."""
    return (np.asarray(ranks, np.float64) <= k).astype(np.float64)


def gains_at(ranks: ArrayLike, k: int) -> NDArray[np.float64]:
    """NDCG@k of each event with one relevant item: 1 / log2(rank + 1) within the first k, else 0."""
    rank = np.asarray(ranks, np.float64)
    return np.where(rank <= k, 1 / np.log2(rank + 1), 0.0)


def hit_rate_at(ranks: ArrayLike, k: int) -> float:
    """Share of events whose item is among the first k.

    >>> hit_rate_at([1, 11, float("inf")], 10)
    0.3333333333333333
    """
    return weighted_mean(hits_at(ranks, k))(np.ones(np.size(ranks)))


def ndcg_at(ranks: ArrayLike, k: int) -> float:
    """Mean of `gains_at`.

    >>> ndcg_at([1, 3], 10)
    0.75
    """
    return weighted_mean(gains_at(ranks, k))(np.ones(np.size(ranks)))


def top_k(scores: Floats, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of the k highest scores, unordered; ties at the edge are broken at random."""
    if len(scores) <= k:
        return np.arange(len(scores))
    edge = np.partition(scores, -k)[-k]
    above, tied = np.flatnonzero(scores > edge), np.flatnonzero(scores == edge)
    return np.concatenate([above, rng.choice(tied, k - len(above), replace=False)])


def coverage(recommended: int, catalogue: int) -> float:
    """Share of the catalogue that was recommended at least once; NaN for an empty catalogue."""
    return recommended / catalogue if catalogue else float("nan")
