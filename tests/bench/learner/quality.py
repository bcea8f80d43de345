"""Quality: `freshrank evaluate` as it is, over converted logs, its figures beside their bars. Takes hours."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from learner.arms import ARMS
from stream.prequential.trial import Interval, Plan, run
from tests.bench.report import Figure

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FRESHNESS: tuple[Interval, ...] = (MINUTE_MS, HOUR_MS, DAY_MS, None)
OURS, IN_FULL = "adalora", "full"
SEEDS = (0, 1, 2)


class Bar(NamedTuple):
    """Where a metric stands in the report of an arm, and what is asked of ours."""

    name: str
    path: tuple[str, ...]
    bar: float
    at_most: bool = False


class Protocol(NamedTuple):
    """A log, how much of it is warm-up, what is asked, and the metric by which arms are compared."""

    log: str
    base_until: float
    bars: Sequence[Bar]
    compared: str


KUAIRAND = Protocol(
    "kuairand",
    0.3,
    (
        Bar("click AUC", ("auc", "click"), 0.757),
        Bar("click log loss", ("logloss", "click"), 0.579, at_most=True),
        Bar("click ECE", ("ece", "click"), 0.02, at_most=True),
    ),
    "auc.click",
)
MOVIELENS = Protocol(
    "movielens",
    0.5,
    (
        Bar("HR@10", ("hr@10",), 0.137),
        Bar("coverage@10", ("coverage@10",), 0.5),
        Bar("HR@10 of cold items", ("hr@10_cold",), 0.04),
    ),
    "hr@10",
)


def quality(logs: Path, short: bool) -> Iterator[Figure]:
    """Every arm on both logs: ours against the bars, and less each other arm, paired over users."""
    for protocol in (KUAIRAND, MOVIELENS):
        arms = (OURS, "frozen") if short else tuple(ARMS)
        yield from _compared(protocol, _report(logs, protocol, arms, (HOUR_MS,), short))


def freshness(logs: Path, short: bool) -> Iterator[Figure]:
    """Click AUC of one arm, served as fresh as once a minute and as stale as never; each less the next."""
    report = _report(logs, KUAIRAND, (OURS,), FRESHNESS, short)
    for name, arm in report["arms"].items():
        seeds, ci95 = _numbers(arm["seeds"]["auc.click"]), arm["ci95"]["auc.click"]
        yield Figure(row="freshness", what=f"click AUC, {name}", unit="", runs=seeds, note=_interval(ci95))
    for fresher, staler in pairwise(report["arms"]):
        apart = report["differences"][f"{fresher} - {staler}"]["auc.click"]
        yield _apart("freshness", f"{fresher} less {staler}", apart, 0.0)


def _report(
    logs: Path, protocol: Protocol, arms: Sequence[str], intervals: Sequence[Interval], short: bool
) -> dict[str, Any]:
    plan = Plan(
        log=logs / protocol.log,
        arms=arms,
        base_until=0.02 if short else protocol.base_until,
        until=0.03 if short else None,
        intervals=intervals,
        seeds=SEEDS[:1] if short else SEEDS,
    )
    return run(plan, lambda _stage, _done, _total: None)


def _compared(protocol: Protocol, report: Mapping[str, Any]) -> Iterator[Figure]:
    ours = report["arms"][OURS]
    for bar in protocol.bars:
        what, name = f"{protocol.log}: {bar.name}", ".".join(bar.path)
        runs = _numbers(ours["seeds"].get(name, [_at(ours, bar.path)]))
        note = _interval(ours["ci95"].get(name))
        yield Figure(
            row="quality", what=what, unit="", runs=runs, bar=bar.bar, at_most=bar.at_most, note=note
        )
    for name, arm in report["arms"].items():
        runs = _numbers(arm["seeds"][protocol.compared])
        what = f"{protocol.log}: {protocol.compared} of {name}"
        yield Figure(row="quality", what=what, unit="", runs=runs)
        if name != OURS:
            apart = report["differences"][f"{OURS} - {name}"][protocol.compared]
            # Not below `full` by more than .002; above every other.
            bar_of = -0.002 if name == IN_FULL else 0.0
            yield _apart("quality", f"{protocol.log}: {OURS} less {name}", apart, bar_of)
    yield from _bytes(protocol.log, report["arms"])


def _apart(row: str, what: str, apart: Mapping[str, Any], bar: float) -> Figure:
    """A difference against a bar; one that has the bar within its interval may be chance."""
    note, ci95 = _interval(apart["ci95"]), apart["ci95"]
    if ci95 is not None and ci95[0] <= bar <= ci95[1]:
        note += ", not told apart"
    return Figure(row=row, what=what, unit="", runs=_numbers([apart["value"]]), bar=bar, note=note)


def _bytes(log: str, arms: Mapping[str, Any]) -> Iterator[Figure]:
    """What ours publishes of what all weights would take, coded alike."""
    if IN_FULL in arms:
        own, other = (arms[name]["published_bytes"]["median"] for name in (OURS, IN_FULL))
        what = f"{log}: bytes published, of those of {IN_FULL}"
        yield Figure(row="quality", what=what, unit="%", runs=[100 * own / other], bar=2, at_most=True)


def _at(report: Mapping[str, Any], path: Sequence[str]) -> float | None:
    found: Any = report
    for key in path:
        found = found[key]
    return None if found is None else float(found)


def _numbers(runs: Sequence[float | None]) -> list[float]:
    """A report says None where there was nothing to measure."""
    return [math.nan if run is None else run for run in runs]


def _interval(ci95: Sequence[float] | None) -> str:
    return "" if ci95 is None else f"95 %: {ci95[0]:.4f} to {ci95[1]:.4f}"
