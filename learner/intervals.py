"""PURE: bootstrap intervals over users: users are drawn again, each with all observations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learner.evaluation import Weighted

REPLICATES = 300
LEVEL = 0.95


def bootstrap(
    users: ArrayLike, metrics: Sequence[Weighted], seed: int, replicates: int = REPLICATES
) -> NDArray[np.float64]:
    """Each metric on each replicate, [replicates, len(metrics)].

    All metrics see the same replicates, so the difference of two columns is a paired bootstrap.

    Args:
        users: the user of each observation, [n].
        metrics: functions of the observations' weights, [n]; a weight is how often its user was drawn.
        seed: of the draws.
        replicates: how often all users are drawn, with replacement.
    """
    names, user = np.unique(users, return_inverse=True)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(names), size=len(names)) for _ in range(replicates))
    weights = (np.bincount(drawn, minlength=len(names))[user].astype(np.float64) for drawn in draws)
    return np.array([[metric(weight) for metric in metrics] for weight in weights])


def interval(values: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float] | None:
    """The percentile interval of replicates [n]; None where most of them leave the metric undefined.

    >>> interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    defined = values[np.isfinite(values)]
    if len(defined) <= len(values) / 2:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
