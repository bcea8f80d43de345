"""PURE: what came of an evaluation, as one JSON document: metrics with intervals, and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from statistics import fmean, median
from typing import Any

import numpy as np

from learner.evaluation import coverage, ece, gauc
from learner.intervals import interval
from stream.prequential.exams import K
from stream.prequential.harness import Contender, Course, Prequential
from stream.prequential.measures import (
    RANK_METRICS,
    Measured,
    Measures,
    Shown,
    liked_of,
    measure,
    shown_of,
)
from stream.prequential.running import running
from stream.slates import Durations

TASKS = ("click", "long_view")


@dataclass(frozen=True)
class Run:
    """One seed of an entrant. `is_arm`: it is the arm itself and not a copy at a longer interval."""

    contender: Contender
    course: Course

    @property
    def is_arm(self) -> bool:
        """Whether the arm itself answered, and so learned and published, too."""
        return self.contender is self.course.contenders[0]


def report(trial: Prequential, durations: Durations, seen: int) -> dict[str, Any]:
    """The metrics of every entrant and, for every two, first − second; None where a metric does not apply.

    `long_view` is judged by the arms' `satisfied`. `seen` is how many items could have been recommended.
    """
    shown, liked = shown_of(trial.exams, trial.truth, durations), liked_of(trial.exams)
    entrants = _entrants(trial.courses)
    answers = {name: [run.contender.answers for run in runs] for name, runs in entrants.items()}
    measures = measure(answers, shown, liked)
    return {
        "examples": {"impressions": len(shown.users), "next_items": len(liked.users)},
        "arms": {name: _arm(measures[name], runs, shown, seen) for name, runs in entrants.items()},
        "differences": _differences(measures),
        "running": running(answers, shown, liked),
    }


def _entrants(courses: Sequence[Course]) -> dict[str, list[Run]]:
    """The runs of every entrant, one a seed."""
    entrants: dict[str, list[Run]] = {}
    for course in courses:
        for contender in course.contenders:
            entrants.setdefault(contender.name, []).append(Run(contender, course))
    return entrants


def _arm(measured: Mapping[str, Measured], runs: Sequence[Run], shown: Shown, seen: int) -> dict[str, Any]:
    answers = [run.contender.answers for run in runs]
    values = {name: finite(one.value) for name, one in measured.items()}
    examples = len(answers[0].click) + len(answers[0].ranks)
    covered = [coverage(len(one.recommended), seen) for one in answers if one.ranks]
    return {
        "publish_every_ms": runs[0].contender.every_ms,
        "auc": {task: values.get(f"auc.{task}") for task in TASKS},
        "logloss": {task: values.get(f"logloss.{task}") for task in TASKS},
        "ece": {"click": finite(fmean(ece(one.click, shown.clicked) for one in answers))},
        "gauc": {"click": finite(fmean(gauc(one.click, shown.clicked, shown.users) for one in answers))},
        **{name: values.get(name) for name in RANK_METRICS},
        f"coverage@{K}": finite(fmean(covered)) if covered else None,
        "ci95": {name: one.ci95 for name, one in measured.items()},
        "seeds": {name: [finite(value) for value in one.seeds] for name, one in measured.items()},
        "examples": examples,
        **_costs(runs, examples),
    }


def _costs(runs: Sequence[Run], examples: int) -> dict[str, Any]:
    """Means over seeds. Copies of an arm neither learn nor publish."""
    arms = [run.course.arm for run in runs if run.is_arm]
    versions = fmean(run.contender.versions for run in runs)
    published = [size for arm in arms for size in arm.published_bytes]
    return {
        "seconds_per_1000": 1000 * fmean(run.contender.seconds for run in runs) / examples
        if examples
        else None,
        "versions": versions,
        "published_bytes": {
            "median": median(published),
            "max": max(published),
            # Some arms measure a sample of their versions.
            "total": fmean(published) * versions,
            "measured": len(published),
        }
        if published
        else None,
        "trained_parameters": fmean(arm.trained_parameters for arm in arms) if arms else None,
    }


def _differences(measures: Measures) -> dict[str, dict[str, Any]]:
    """`first - second` → metric → value and interval, paired by replicate."""
    return {
        f"{first} - {second}": {
            name: _difference(one, measures[second][name]) for name, one in measures[first].items()
        }
        for first, second in combinations(measures, 2)
    }


def _difference(one: Measured, other: Measured) -> dict[str, Any]:
    ci95 = interval(np.asarray(one.replicates - other.replicates))
    return {"value": finite(one.value - other.value), "ci95": ci95}


def finite(value: float) -> float | None:
    """The value, or None for what JSON cannot say.

    >>> finite(float("nan")), finite(0.5)
    (None, 0.5)
    """
    return float(value) if isfinite(value) else None
