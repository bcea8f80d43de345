"""SHELL: a log directory → arms in one pass over it → the report."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import torch

from learner.arms import ARMS, Arm, Start, needs_base
from learner.backfill import train_base
from learner.fitting import BackfillSettings, Progress
from learner.foundation import lay_foundation
from learner.ratings import RatingErrors
from learner.settings import LearnerSettings
from schemas.events import Item, UserEvent
from schemas.labels import LabeledSlate
from stream.intent import tags_in
from stream.join_settings import JoinSettings
from stream.logs import between, count_events, read_events, read_items, split_ts
from stream.prequential.exams import Answers, Examiner
from stream.prequential.harness import Contender, Course, Prequential, warm_up
from stream.prequential.observer import Observer
from stream.prequential.report import report

UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1_000, "ms": 1}
_EVERY_EVENTS = 500
"""How often, in events, progress is told."""

Interval = int | None
"""A publish interval in ms of event time; None is never."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is evaluated. `base_until` and `until` are shares of the log (0 to 1), or epoch ms."""

    log: Path
    arms: Sequence[str]
    base_until: float = 0.3
    until: float | None = None
    intervals: Sequence[Interval] = (1_000,)
    seeds: Sequence[int] = (0,)
    join: JoinSettings = field(default_factory=JoinSettings)


def run(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Evaluate arms on a log directory and return the report.

    Raises:
        LogDirectoryError: the log cannot be read.
        BaseError: the part before the split has nothing to train a base on, and an arm needs one.
    """
    items = list(read_items(plan.log))
    durations = {item.item_id: item.duration_ms for item in items}.get
    cut = split_ts(plan.log, plan.base_until)
    end = None if plan.until is None else split_ts(plan.log, plan.until)
    observer, examiner = Observer(durations, plan.join, tags_in(items)), Examiner()
    before = between(read_events(plan.log), None, cut)
    slates = warm_up(
        _counted(before, "warm up", count_events(plan.log, None, cut), progress), observer, examiner
    )
    starts = [_start(items, slates, plan.arms, seed, progress) for seed in plan.seeds]
    trial = Prequential(observer, examiner, list(_courses(plan, [start for start, _ in starts])))
    after = between(read_events(plan.log), cut, end)
    trial.run(_counted(after, "test, train", count_events(plan.log, cut, end), progress))
    asked = {
        "log": plan.log.name,
        "base_until_ts": cut,
        "until_ts": end,
        "publish_every_ms": list(plan.intervals),
        "seeds": list(plan.seeds),
        "window_ms": plan.join.window_ms,
        "refine": sorted(plan.join.rules.refinements),
    }
    ratings = _means([errors for _, errors in starts if errors is not None])
    return asked | ratings | report(trial, durations, examiner.seen)


def _means(errors: Sequence[RatingErrors]) -> dict[str, Any]:
    """How far the bases' rating heads were from the last ratings before the stream, mean over seeds."""
    if not errors:
        return {}
    mae, rmse = fmean(one.mae for one in errors), fmean(one.rmse for one in errors)
    return {"ratings": {"mae": mae, "rmse": rmse, "count": errors[0].count}}


def _courses(plan: Plan, starts: Sequence[Start]) -> Iterator[Course]:
    """A course for every arm and seed; one seed is enough for an arm without chance."""
    for number, start in enumerate(starts):
        for name in plan.arms:
            if ARMS[name].chance or not number:
                yield course(name, ARMS[name].make(start), plan.intervals, start.seed)


def course(name: str, arm: Arm, intervals: Sequence[Interval], seed: int) -> Course:
    """A course at these intervals, but none shorter than the arm's own; `seed` breaks ties in rankings.

    Entrants are named for their arm, and where there are several for their interval, too: `adalora@1h`.
    """
    own = {_slower(interval, ARMS[name].every_ms) for interval in intervals}
    ordered = sorted(own, key=lambda interval: float("inf") if interval is None else interval)
    contenders = [
        Contender(name if len(own) == 1 else f"{name}@{spell(every)}", every, Answers(seed))
        for every in ordered
    ]
    return Course(arm, contenders, perf_counter)


def _slower(one: Interval, other: Interval) -> Interval:
    return None if one is None or other is None else max(one, other)


def spell(interval: Interval) -> str:
    """An interval as it is written on the command line.

    >>> spell(60_000), spell(1_500), spell(None)
    ('1min', '1500ms', 'never')
    """
    if interval is None:
        return "never"
    unit, length = next((unit, ms) for unit, ms in UNITS_MS.items() if interval % ms == 0)
    return f"{interval // length}{unit}"


def _start(
    items: Sequence[Item], slates: Sequence[LabeledSlate], names: Sequence[str], seed: int, progress: Progress
) -> tuple[Start, RatingErrors | None]:
    """What arms start from; and how a base of it told ratings, where it has one and there are any."""
    if not needs_base(names):
        return Start(items=items, slates=slates, seed=seed), None
    settings = LearnerSettings.from_env(os.environ)
    torch.set_num_threads(settings.threads)
    laid = lay_foundation(settings, "cpu")
    trained = train_base(
        items,
        slates,
        laid.embed,
        laid.text_encoder,
        laid.shape,
        BackfillSettings(seed=seed, wordings=settings.wordings),
        progress=progress,
        backbone=laid.backbone,
    )
    base = laid.complete(trained.base)
    start = Start(items=items, slates=slates, seed=seed, embed=laid.embed, base=base, update=settings)
    return start, trained.ratings


def _counted(events: Iterable[UserEvent], stage: str, total: int, progress: Progress) -> Iterator[UserEvent]:
    """Pass events on and say how many there were."""
    done = 0
    for done, event in enumerate(events, start=1):
        if done % _EVERY_EVENTS == 0:
            progress(stage, done, total)
        yield event
    progress(stage, done, total)
