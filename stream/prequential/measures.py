"""PURE: the metrics of every entrant on the same replicates of the log, and over several seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learner.evaluation import Weighted, gains_at, hits_at, log_losses, weighted_auc, weighted_mean
from learner.intervals import bootstrap, interval
from stream.prequential.exams import Answers, Exam, K, NextItemExam, SlateExam, Truth
from stream.satisfaction import satisfaction
from stream.slates import Durations

Bools = NDArray[np.bool_]
Metrics = Mapping[str, Weighted]

SLATE_METRICS = ("auc.click", "logloss.click", "auc.long_view", "logloss.long_view")
RANK_METRICS = (f"hr@{K}", f"ndcg@{K}", f"hr@{K}_cold")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The truth about every shown item, in the order of the arms' answers; all [n], `ts` ascending."""

    users: Sequence[str]
    ts: Sequence[int]
    clicked: Bools
    long_view: Bools


@dataclass(frozen=True, kw_only=True)
class Liked:
    """What is known of every next item, in the order of the arms' ranks; all [n], `ts` ascending."""

    users: Sequence[str]
    ts: Sequence[int]
    cold: Bools


@dataclass(frozen=True)
class Measured:
    """A metric, its value under every seed, and on each replicate of the log, [replicates]."""

    value: float
    replicates: NDArray[np.float64]
    seeds: tuple[float, ...]

    @property
    def ci95(self) -> tuple[float, float] | None:
        """The 95 % interval."""
        return interval(self.replicates)


Measures = Mapping[str, Mapping[str, Measured]]
"""Entrant → metric → measured."""


def shown_of(exams: Sequence[Exam], truth: Truth, durations: Durations) -> Shown:
    """The truth of the slate exams, an entry an item.

    `long_view` is KuaiRand's own rule, dwell ≥ min(duration, 18 s).
    """
    pairs = [(e, item) for e in exams if isinstance(e, SlateExam) for item in e.query.candidates]
    dwells = [(truth.dwell_ms(e.request_id, item), durations(item)) for e, item in pairs]
    return Shown(
        users=[e.query.user_id for e, _ in pairs],
        ts=[e.query.ts for e, _ in pairs],
        clicked=np.array([truth.clicked(e.request_id, item) for e, item in pairs], bool),
        long_view=np.array([satisfaction(dwell, duration) >= 1 for dwell, duration in dwells], bool),
    )


def liked_of(exams: Sequence[Exam]) -> Liked:
    """Users, times and coldness of the next-item exams."""
    asked = [exam for exam in exams if isinstance(exam, NextItemExam)]
    return Liked(
        users=[e.query.user_id for e in asked],
        ts=[e.query.ts for e in asked],
        cold=np.array([e.cold for e in asked], bool),
    )


def measure(answers: Mapping[str, Sequence[Answers]], shown: Shown, liked: Liked) -> Measures:
    """All metrics of all entrants, each with its answers under every seed."""
    flat = [(name, one) for name, runs in answers.items() for one in runs]
    on_slates = _measure(shown.users, [_slate_metrics(one, shown) for _, one in flat])
    on_ranks = _measure(liked.users, [_rank_metrics(one, liked) for _, one in flat])
    runs: dict[str, list[Mapping[str, Measured]]] = {name: [] for name in answers}
    for (name, _), slates, ranks in zip(flat, on_slates, on_ranks, strict=True):
        runs[name].append({**slates, **ranks})
    return {
        name: {metric: pooled([run[metric] for run in of_name]) for metric in of_name[0]}
        for name, of_name in runs.items()
    }


def pooled(runs: Sequence[Measured]) -> Measured:
    """The mean over seeds, with replicates over users and seeds.

    Each replicate of the log is answered by as many seeds as there are, drawn with replacement: an interval
    shows what other users and other seeds would have changed. One seed's interval is that of its users.
    """
    rng = np.random.default_rng(0)
    replicates = np.stack([run.replicates for run in runs])  # [seeds, replicates]
    drawn = rng.integers(len(runs), size=replicates.shape)
    return Measured(
        value=float(np.mean([run.value for run in runs])),
        replicates=np.take_along_axis(replicates, drawn, axis=0).mean(0),
        seeds=tuple(run.value for run in runs),
    )


def _slate_metrics(answers: Answers, shown: Shown) -> Metrics:
    click, satisfied = answers.click, answers.satisfied
    return {
        "auc.click": weighted_auc(click, shown.clicked),
        "logloss.click": weighted_mean(log_losses(click, shown.clicked)),
        "auc.long_view": weighted_auc(satisfied, shown.long_view),
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


def _measure(users: Sequence[str], runs: Sequence[Metrics]) -> list[dict[str, Measured]]:
    """The metrics of every run, all on the same replicates; nothing where there are no observations."""
    if not users:
        return [{} for _ in runs]
    functions = [function for run in runs for function in run.values()]
    replicates = iter(bootstrap(users, functions, seed=0).T)
    ones = np.ones(len(users))
    return [
        {
            name: Measured(value := function(ones), next(replicates), (value,))
            for name, function in run.items()
        }
        for run in runs
    ]
