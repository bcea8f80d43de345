"""SHELL: measurements → a picture of their curves over the time of the replay."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream.demo.measurements import Flow, Fresh, Measurements, percentiles

ONLINE, FROZEN, EVENTS, LABELS = "#0b6e4f", "#b3541e", "#2b50aa", "#7a5195"
BIN_S = 5.0
TARGET_S = 2.4
"""Event to served, as Ekko (OSDI'22) publishes it."""


def draw(seen: Measurements, title: str, path: Path) -> None:
    """Write a PNG with three panels: quality of both arms, freshness, throughput."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 9.5), layout="constrained")
        quality, freshness, flow = figure.subplots(3, 1, sharex=True)
        _draw_auc(quality, seen)
        _draw_freshness(freshness, seen.fresh)
        _draw_flow(flow, seen.flow)
        flow.set_xlabel("seconds since the replay began")
        figure.suptitle(title, fontsize=12, fontweight="bold")
        figure.savefig(path, dpi=130)


def _draw_auc(axes: Axes, seen: Measurements) -> None:
    for arm, colour, name in (("online", ONLINE, "online, adapting"), ("frozen", FROZEN, "frozen base")):
        points = seen.auc[arm]
        label = f"{name}: mean {seen.mean_auc(arm):.3f}"
        axes.plot([p.second for p in points], [p.value for p in points], color=colour, lw=2, label=label)
    axes.set(
        title="Does it predict clicks better than the base it started from?", ylabel="rolling AUC of clicks"
    )
    _finish(axes)


def _draw_freshness(axes: Axes, answers: Sequence[Fresh]) -> None:
    bins: dict[int, list[float]] = {}
    for answer in answers:
        bins.setdefault(int(answer.second // BIN_S), []).append(answer.seconds)
    middles = [(number + 0.5) * BIN_S for number in bins]
    found = [percentiles(values) for values in bins.values()]
    total = percentiles([answer.seconds for answer in answers])
    axes.plot(middles, [p.p50 for p in found], color=ONLINE, lw=2, label=f"p50: {total.p50:.2f} s over all")
    axes.plot(
        middles, [p.p99 for p in found], color=ONLINE, lw=1, ls="--", label=f"p99: {total.p99:.2f} s over all"
    )
    axes.axhline(TARGET_S, color="grey", lw=1, ls=":", label=f"{TARGET_S} s: Ekko, OSDI'22")
    axes.set(title="How soon does a click change an answer?", ylabel="seconds, click → answer")
    axes.set_ylim(bottom=0)
    _finish(axes)


def _draw_flow(axes: Axes, flow: Sequence[Flow]) -> None:
    for field, colour in (("events", EVENTS), ("labels", LABELS)):
        seconds, rates = _rates(flow, field)
        label = f"{field}: {getattr(flow[-1], field):,} in all"
        axes.plot(seconds, rates, color=colour, lw=2, label=label)
    axes.set(title="How much passes through?", ylabel="messages a second")
    axes.set_ylim(bottom=0)
    _finish(axes)


def _rates(flow: Sequence[Flow], field: str) -> tuple[list[float], list[float]]:
    """Middles of spans of about BIN_S, and the messages a second in each."""
    seconds, rates, last = [], [], flow[0]
    for look in flow[1:]:
        span = look.second - last.second
        if span >= BIN_S:
            seconds.append(last.second + span / 2)
            rates.append((getattr(look, field) - getattr(last, field)) / span)
            last = look
    return seconds, rates


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.margins(y=0.15)
    axes.legend(frameon=False, loc="best", fontsize=9)
