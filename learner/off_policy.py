"""PURE: protocol P4: what one policy would have earned, from the log of another (off-policy evaluation).

Policies may depend on the place and on time, but not on the user: so is each of those that are compared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learner.evaluation import Weighted, weighted_mean
from learner.intervals import bootstrap, interval

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

FOLDS = 2
_STRENGTH = 200.0
"""Pseudo-exposures that hold an item's rate at the average: clicks are a few in a thousand."""


@dataclass(frozen=True, kw_only=True)
class Exposures:
    """What one policy showed; all [n]: items and places by number, and the probability it chose each with."""

    users: NDArray[np.str_]
    items: Ints
    places: Ints
    clicked: Floats
    propensities: Floats


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A policy's value (clicks an exposure), and its relative error against the policy's own log."""

    value: float
    ci95: tuple[float, float] | None
    relative_error: float


def policy_of(log: Exposures, n_items: int, n_places: int) -> Floats:
    """The mean probability over time of each item at each place, [places, items].

    The harmonic mean of the propensities it was shown with: a moment is in the log in proportion to the
    propensity of then, so the mean of 1/propensity is 1 over the mean over all moments.
    """
    shape = (n_places, n_items)
    shown, inverse = np.zeros(shape), np.zeros(shape)
    np.add.at(shown, (log.places, log.items), 1.0)
    np.add.at(inverse, (log.places, log.items), 1 / log.propensities)
    mean = np.divide(shown, inverse, out=np.zeros(shape), where=inverse > 0)
    policy: Floats = mean / np.maximum(mean.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    return policy


def click_rates(log: Exposures, n_items: int, n_places: int) -> Floats:
    """A reward model: click rates [places, items]: the item's, shrunk to the average, by the place's lift."""
    average = (log.clicked.sum() + 0.5) / (len(log.clicked) + 1)
    items = _smoothed(log.items, log.clicked, n_items, average)
    places = _smoothed(log.places, log.clicked, n_places, average)
    rates: Floats = np.minimum(items[None] * places[:, None] / average, 1.0)
    return rates


def evaluate(target: Exposures, logged: Exposures, n_items: int, n_places: int) -> dict[str, Estimate]:
    """Estimate the target policy's value from the other's log, by estimator.

    IPS and SNIPS weigh clicks by how much more often the target shows the item; DM believes a reward model;
    DR corrects the model by weighted residuals (Dudík et al., ICML 2011). The reward model is cross-fitted.
    Of the target's own log only its propensities are used, but for the mean that errors are measured against.
    """
    truth = float(target.clicked.mean())
    functions = _estimators(policy_of(target, n_items, n_places), logged, n_items, n_places)
    replicates = bootstrap(logged.users, list(functions.values()), seed=0)
    ones = np.ones(len(logged.clicked))
    return {
        name: Estimate(
            value=(value := function(ones)),
            ci95=interval(replicates[:, column]),
            relative_error=abs(value - truth) / truth if truth else float("nan"),
        )
        for column, (name, function) in enumerate(functions.items())
    }


def on_policy(log: Exposures) -> tuple[float, tuple[float, float] | None]:
    """The mean of a policy's own clicks, with its 95 % interval over users."""
    mean = weighted_mean(log.clicked)
    replicates = bootstrap(log.users, [mean], seed=0)[:, 0]
    return float(log.clicked.mean()), interval(replicates)


def _estimators(policy: Floats, logged: Exposures, n_items: int, n_places: int) -> Mapping[str, Weighted]:
    at = (logged.places, logged.items)
    ratios = policy[at] / logged.propensities
    modelled, expected = np.empty(len(ratios)), np.empty(len(ratios))
    for fold in range(FOLDS):
        inside = np.arange(len(ratios)) % FOLDS == fold
        rates = click_rates(_part(logged, ~inside), n_items, n_places)
        modelled[inside] = rates[at][inside]
        expected[inside] = (policy * rates).sum(1)[logged.places][inside]
    gained = ratios * logged.clicked
    return {
        "IPS": weighted_mean(gained),
        "SNIPS": _ratio(gained, ratios),
        "DM": weighted_mean(expected),
        "DR": weighted_mean(expected + ratios * (logged.clicked - modelled)),
    }


def _ratio(above: Floats, below: Floats) -> Callable[[NDArray[np.floating]], float]:
    def value(weights: NDArray[np.floating]) -> float:
        total = float(below @ weights)
        return float(above @ weights) / total if total else float("nan")

    return value


def _smoothed(keys: Ints, clicked: Floats, size: int, average: float) -> Floats:
    clicks, shown = np.bincount(keys, clicked, size), np.bincount(keys, minlength=size)
    rates: Floats = (clicks + _STRENGTH * average) / (shown + _STRENGTH)
    return rates


def _part(log: Exposures, kept: NDArray[np.bool_]) -> Exposures:
    return Exposures(
        users=log.users[kept],
        items=log.items[kept],
        places=log.places[kept],
        clicked=log.clicked[kept],
        propensities=log.propensities[kept],
    )
