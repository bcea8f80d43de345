"""SHELL: a report → a picture: each arm with its interval, the metric over time, and the freshness curve."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from stream.prequential.freshness import MONOLITH, Curve, curves
from stream.prequential.tables import value_of

Report = Mapping[str, Any]

OURS, OTHERS, GREY = "#0b6e4f", ("#b3541e", "#2b50aa", "#7a5195", "#c9a227", "#5b8e7d"), "#9a9a9a"
_PICKED = 6
"""Curves over time beyond so many cannot be told apart: the best are drawn, the others left to the JSON."""


def draw(report: Report, reference: str, path: Path) -> None:
    """Write a PNG; `reference` is the entrant that is drawn as ours, and whose freshness is."""
    fresh = [curve for curve in curves(report) if reference.startswith(f"{curve.arm}@")]
    heights = [0.35 * len(report["arms"]) + 1, 3.2, *(3.2 for _ in fresh)]
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, sum(heights)), layout="constrained")
        arms, over_time, *below = figure.subplots(
            len(heights), 1, gridspec_kw={"height_ratios": heights}, squeeze=False
        )[:, 0]
        metric = report["running"]["metric"]
        _draw_arms(arms, report, reference, metric)
        _draw_running(over_time, report, reference)
        for axes, curve in zip(below, fresh, strict=True):
            _draw_curve(axes, curve)
        figure.suptitle(f"{report['log']}, test-then-train", fontsize=12, fontweight="bold")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def _draw_arms(axes: Axes, report: Report, reference: str, metric: str) -> None:
    ranked = sorted(report["arms"].items(), key=lambda entry: value_of(entry[1], metric) or 0.0)
    for row, (name, arm) in enumerate(ranked):
        value, ci95 = value_of(arm, metric), arm["ci95"].get(metric)
        if value is None or ci95 is None:
            continue
        colour = OURS if name == reference else GREY
        axes.plot(ci95, [row, row], color=colour, lw=2)
        axes.plot(value, row, "o", color=colour, ms=6)
        axes.annotate(
            f"{value:.4f}", (ci95[1], row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    axes.set_title(f"{metric} with 95 % intervals over users and seeds", loc="left", fontsize=10)
    axes.margins(x=0.12)
    axes.grid(axis="x", alpha=0.25)


def _draw_running(axes: Axes, report: Report, reference: str) -> None:
    told = report["running"]
    when: Any = [datetime.fromtimestamp(ts / 1_000, UTC) for ts in told["ts"]]
    for colour, name in zip((OURS, *OTHERS), _picked(report, reference), strict=False):
        axes.plot(when, told["arms"][name], color=colour, lw=2 if name == reference else 1.2, label=name)
    axes.set_title(f"{told['metric']} over event time, {len(when)} windows", loc="left", fontsize=10)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9, ncols=3)


def _picked(report: Report, reference: str) -> list[str]:
    """Ours, the frozen base, and the best of the others."""
    metric = report["running"]["metric"]
    best = sorted(report["arms"], key=lambda name: -(value_of(report["arms"][name], metric) or 0.0))
    first = [name for name in (reference, "frozen") if name in report["arms"]]
    return [*first, *(name for name in best if name not in first)][:_PICKED]


def _draw_curve(axes: Axes, curve: Curve) -> None:
    points = curve.points
    places = range(len(points))
    values = [float("nan") if point.over_never is None else point.over_never for point in points]
    low = [(point.over_never_ci95 or (0.0, 0.0))[0] for point in points]
    high = [(point.over_never_ci95 or (0.0, 0.0))[1] for point in points]
    axes.fill_between(places, low, high, color=OURS, alpha=0.15, lw=0)
    axes.plot(places, values, "o-", color=OURS, label=f"{curve.arm}, {curve.metric} above never")
    _draw_monolith(axes, [point.interval for point in points])
    axes.set_xticks(places, [point.interval for point in points])
    axes.set_xlabel("published every")
    axes.axhline(0, color="grey", lw=1)
    axes.set_title("what sooner is worth", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


def _draw_monolith(axes: Axes, intervals: Sequence[str]) -> None:
    """Its difference to batch training, at the interval that both know."""
    if "1h" not in intervals:
        return
    online, batch = next((online, batch) for name, online, batch in MONOLITH if name == "1 h")
    label = "Monolith (2022), Criteo: 1 h above batch"
    axes.plot(intervals.index("1h"), online - batch, "s", color=OTHERS[1], label=label)
