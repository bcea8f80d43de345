"""SHELL: a report of labels → pictures."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stream.label_report import TRUST_BINS, LabelReport

COLOURS = {"click": "#0b6e4f", "quick negative": "#b3541e", "final": "#2b50aa", "correction": "#7a5195"}
_SOONEST_S, _LATEST_S = 0.0005, 10_000.0
FLAT = 0.05
"""Within so much of the mean, satisfaction tells nothing of an item's length."""


def draw(report: LabelReport, directory: Path) -> list[Path]:
    """Write `delays.png`, `satisfaction.png` and `trust.png`, and return where they are."""
    directory.mkdir(parents=True, exist_ok=True)
    pictures = {"delays": _delays, "satisfaction": _satisfaction, "trust": _trust}
    paths = []
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        for name, picture in pictures.items():
            figure = Figure(figsize=(8, 4.5), layout="constrained")
            picture(figure.subplots(), report)
            paths.append(directory / f"{name}.png")
            figure.savefig(paths[-1], dpi=130)
    return paths


def _delays(axes: Axes, report: LabelReport) -> None:
    for kind, colour in COLOURS.items():
        reached = report.delays[kind].reached()
        if not reached:
            continue
        seconds, shares = zip((_SOONEST_S, 0.0), *reached, (_LATEST_S, 1.0), strict=True)
        total = report.delays[kind].bins.total()
        axes.step(seconds, shares, where="post", color=colour, lw=2, label=f"{kind}: {total:,}")
    axes.set(
        xscale="log", xlabel="seconds after the impression, event time", ylabel="share known by then",
        title="How soon labels are known", ylim=(0, 1.02),
    )  # fmt: skip
    axes.legend(frameon=False)


def _satisfaction(axes: Axes, report: LabelReport) -> None:
    buckets = report.by_duration()
    if buckets:
        mean = sum(b["stays"] * b["mean"] for b in buckets) / sum(b["stays"] for b in buckets)
        axes.axhspan(mean - FLAT, mean + FLAT, color="grey", alpha=0.2, label=f"mean {mean:.3f} ± {FLAT}")
        axes.plot([b["from_s"] for b in buckets], [b["mean"] for b in buckets], "o-", color=COLOURS["click"])
        axes.set_xscale("log", base=2)
        axes.legend(frameon=False)
    axes.set(
        xlabel="length of the item, seconds", ylabel="mean satisfaction of a stay", ylim=(0, 1),
        title="Does satisfaction depend on the length of the item?",
    )  # fmt: skip


def _trust(axes: Axes, report: LabelReport) -> None:
    places = [(number + 0.5) / TRUST_BINS for number in range(TRUST_BINS)]
    axes.bar(places, report.trust, width=0.9 / TRUST_BINS, color=COLOURS["final"])
    axes.set(
        xlabel="trust",
        ylabel="final outcomes",
        title="How far labels are trusted",
        xlim=(0, 1),
        yscale="symlog",
    )
