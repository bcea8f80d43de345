"""PURE: what came of an evaluation: metrics with intervals, and the arms' paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.evaluation import (
    Weighted,
    coverage,
    ece,
    gains_at,
    gauc,
    hits_at,
    log_losses,
    weighted_auc,
    weighted_mean,
)
from learner.intervals import bootstrap, interval
from stream.prequential.exams import Answers, Exam, K, NextItemExam, SlateExam, Truth
from stream.prequential.harness import Contender, Prequential
from stream.satisfaction import satisfaction
from stream.slates import Durations

Bools = NDArray[np.bool_]
Metrics = Mapping[str, Weighted]

SLATE_METRICS = ("auc.click", "auc.long_view", "logloss.click", "logloss.long_view")
RANK_METRICS = (f"hr@{K}", f"ndcg@{K}", f"hr@{K}_cold")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The truth about every shown item, in the order of the arms' answers; all [n]."""

    users: Sequence[str]
    clicked: Bools
    long_view: Bools


@dataclass(frozen=True, kw_only=True)
class Liked:
    """What is known of every next item, in the order of the arms' ranks; all [n]."""

    users: Sequence[str]
    cold: Bools


@dataclass(frozen=True)
class Measured:
    """A metric, and its value on each replicate of the log, [replicates]."""

    value: float
    replicates: NDArray[np.float64]

    @property
    def ci95(self) -> tuple[float, float] | None:
        """The 95 % interval."""
        return interval(self.replicates)


Measures = Mapping[str, Mapping[str, Measured]]
"""Arm → metric → measured."""


def report(trial: Prequential, durations: Durations, seen: int, seed: int) -> dict[str, Any]:
    """The metrics of every arm and, for every two arms, first − second; None where a metric does not apply.

    `long_view` is KuaiRand's own rule, dwell ≥ min(duration, 18 s); it is judged by the arms' `satisfied`.
    """
    shown, liked = shown_of(trial.exams, trial.truth, durations), liked_of(trial.exams)
    answers = {name: contender.answers for name, contender in trial.contenders.items()}
    on_slates = _measure(shown.users, {name: _slate_metrics(a, shown) for name, a in answers.items()}, seed)
    on_ranks = _measure(liked.users, {name: _rank_metrics(a, liked) for name, a in answers.items()}, seed)
    measures = {name: {**on_slates[name], **on_ranks[name]} for name in answers}
    examples = {"impressions": len(shown.users), "next_items": len(liked.users)}
    arms = {
        name: _arm(measures[name], contender, shown, seen) for name, contender in trial.contenders.items()
    }
    return {"examples": examples, "arms": arms, "differences": _differences(measures)}


def shown_of(exams: Sequence[Exam], truth: Truth, durations: Durations) -> Shown:
    """The truth of the slate exams, an entry an item."""
    pairs = [(e, item) for e in exams if isinstance(e, SlateExam) for item in e.query.candidates]
    dwells = [(truth.dwell_ms(e.request_id, item), durations(item)) for e, item in pairs]
    return Shown(
        users=[e.query.user_id for e, _ in pairs],
        clicked=np.array([truth.clicked(e.request_id, item) for e, item in pairs], bool),
        long_view=np.array([satisfaction(dwell, duration) >= 1 for dwell, duration in dwells], bool),
    )


def liked_of(exams: Sequence[Exam]) -> Liked:
    """Users and coldness of the next-item exams."""
    asked = [exam for exam in exams if isinstance(exam, NextItemExam)]
    return Liked(users=[e.query.user_id for e in asked], cold=np.array([e.cold for e in asked], bool))


def _slate_metrics(answers: Answers, shown: Shown) -> Metrics:
    click, satisfied = answers.click, answers.satisfied
    return {
        "auc.click": weighted_auc(click, shown.clicked),
        "auc.long_view": weighted_auc(satisfied, shown.long_view),
        "logloss.click": weighted_mean(log_losses(click, shown.clicked)),
        "logloss.long_view": weighted_mean(log_losses(satisfied, shown.long_view)),
    }


def _rank_metrics(answers: Answers, liked: Liked) -> Metrics:
    hits = hits_at(answers.ranks, K)
    mean_hits = weighted_mean(hits)
    return {
        f"hr@{K}": mean_hits,
        f"ndcg@{K}": weighted_mean(gains_at(answers.ranks, K)),
        f"hr@{K}_cold": lambda weights: mean_hits(weights * liked.cold),
    }


def _measure(users: Sequence[str], metrics: Mapping[str, Metrics], seed: int) -> Measures:
    """All metrics of all arms on the same replicates; nothing where there are no observations."""
    if not users:
        return {name: {} for name in metrics}
    named = [(arm, metric) for arm, of_arm in metrics.items() for metric in of_arm]
    functions = [metrics[arm][metric] for arm, metric in named]
    replicates = bootstrap(users, functions, seed)
    ones = np.ones(len(users))
    measures: dict[str, dict[str, Measured]] = {arm: {} for arm in metrics}
    for column, ((arm, metric), function) in enumerate(zip(named, functions, strict=True)):
        measures[arm][metric] = Measured(function(ones), replicates[:, column])
    return measures


def _arm(measured: Mapping[str, Measured], contender: Contender, shown: Shown, seen: int) -> dict[str, Any]:
    answers, arm, metrics = contender.answers, contender.arm, dict(measured)
    examples = len(answers.click) + len(answers.ranks)
    values = {name: finite(one.value) for name, one in metrics.items()}
    clicks = (answers.click, shown.clicked)
    return {
        "auc": {task: values.get(f"auc.{task}") for task in ("click", "long_view")},
        "logloss": {task: values.get(f"logloss.{task}") for task in ("click", "long_view")},
        "ece": {"click": finite(ece(*clicks))},
        "gauc": {"click": finite(gauc(*clicks, shown.users))},
        **{name: values.get(name) for name in RANK_METRICS},
        f"coverage@{K}": finite(coverage(len(answers.recommended), seen)) if answers.ranks else None,
        "ci95": {name: one.ci95 for name, one in metrics.items()},
        "examples": examples,
        "seconds_per_1000": finite(1000 * contender.seconds / examples) if examples else None,
        "published_bytes_median": median(arm.published_bytes) if arm.published_bytes else None,
        "trained_parameters": arm.trained_parameters,
    }


def _differences(measures: Measures) -> dict[str, dict[str, Any]]:
    """`first - second` → metric → value and interval, paired by replicate."""
    return {
        f"{first} - {second}": {
            name: {
                "value": finite(one.value - measures[second][name].value),
                "ci95": interval(one.replicates - measures[second][name].replicates),
            }
            for name, one in measures[first].items()
        }
        for first, second in combinations(measures, 2)
    }


def finite(value: float) -> float | None:
    """The value, or None for what JSON cannot say.

    >>> finite(float("nan")), finite(0.5)
    (None, 0.5)
    """
    return float(value) if isfinite(value) else None
