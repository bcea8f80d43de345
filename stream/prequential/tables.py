"""PURE: a report as tables of eighty columns: a row an entrant, its interval below each value."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from stream.prequential.exams import K
from stream.prequential.freshness import MONOLITH, Curve, curves, exceeds
from stream.prequential.measures import RANK_METRICS, SLATE_METRICS

Report = Mapping[str, Any]
Span = Sequence[float] | None

_HEADINGS = {
    "auc.click": "click AUC",
    "logloss.click": "click\nlog loss",
    "auc.long_view": "long view\nAUC",
    "logloss.long_view": "long view\nlog loss",
    "ece.click": "click\nECE",
    f"hr@{K}": f"HR@{K}",
    f"ndcg@{K}": f"NDCG@{K}",
    f"hr@{K}_cold": f"HR@{K}\ncold items",
    f"coverage@{K}": "coverage",
}
_QUALITY = (*SLATE_METRICS, "ece.click", *RANK_METRICS, f"coverage@{K}")


def tables(report: Report, reference: str) -> Iterator[Table]:
    """Quality; differences to the entrant named `reference`; what each costs; freshness, where asked for."""
    yield _quality(report)
    if len(report["arms"]) > 1:
        yield _differences(report, reference)
    yield _costs(report)
    fresh = curves(report)
    yield from map(_freshness, fresh)
    if fresh:
        yield _monolith()


def _quality(report: Report) -> Table:
    metrics = _present(report)
    seeds = len(report["seeds"])
    title = f"{report['log']}: {_count(report)} answers, {seeds} seed{'s' * (seeds > 1)}, 95 % intervals"
    table = Table("arm", *(_HEADINGS[metric] for metric in metrics), title=title, caption=_stars(report))
    for name, arm in report["arms"].items():
        table.add_row(name, *(_cell(value_of(arm, metric), arm["ci95"].get(metric)) for metric in metrics))
    return table


def _stars(report: Report) -> str | None:
    """How far the base was from the last ratings before the stream, where the log has ratings."""
    off = report.get("ratings")
    return off and f"ratings by the base: MAE {off['mae']:.3f}, RMSE {off['rmse']:.3f} over {off['count']:,}"


def _differences(report: Report, reference: str) -> Table:
    metrics = [metric for metric in _present(report) if metric in (*SLATE_METRICS, *RANK_METRICS)]
    title = f"{reference} less each other arm, paired over users; * the interval leaves out 0"
    table = Table("arm", *(_HEADINGS[metric] for metric in metrics), title=title)
    for name in report["arms"]:
        if name != reference:
            found = difference(report, reference, name)
            table.add_row(name, *(_signed(*found[metric]) for metric in metrics))
    return table


def _costs(report: Report) -> Table:
    table = Table(
        "arm",
        "s per 1,000",
        "parameters",
        "versions",
        "bytes, median",
        "largest",
        "total",
        title="what it costs",
    )
    for name, arm in report["arms"].items():
        sent = arm["published_bytes"] or {}
        table.add_row(
            name,
            "" if arm["seconds_per_1000"] is None else f"{arm['seconds_per_1000']:.3f}",
            *(_whole(number) for number in (arm["trained_parameters"], arm["versions"])),
            *(_whole(sent.get(key)) for key in ("median", "max", "total")),
        )
    return table


def _freshness(curve: Curve) -> Table:
    table = Table("publishes", "value", "above never", title=f"{curve.arm}: {curve.metric} by freshness")
    for point in curve.points:
        table.add_row(
            point.interval, _cell(point.value, point.ci95), _signed(point.over_never, point.over_never_ci95)
        )
    return table


def _monolith() -> Table:
    title = "beside it: Monolith (2022), table 2: AUC on Criteo by sync interval"
    table = Table("synchronises", "online", "batch", "above batch", title=title)
    for interval, online, batch in MONOLITH:
        table.add_row(interval, f"{online:.4f}", f"{batch:.4f}", f"{online - batch:+.4f}")
    return table


def difference(report: Report, first: str, second: str) -> dict[str, tuple[float | None, Span]]:
    """Metric → first − second and its interval, whichever way round the report has it."""
    found = report["differences"].get(f"{first} - {second}")
    if found is not None:
        return {name: (one["value"], one["ci95"]) for name, one in found.items()}
    turned = report["differences"][f"{second} - {first}"]
    return {
        name: (_negative(one["value"]), one["ci95"] and (-one["ci95"][1], -one["ci95"][0]))
        for name, one in turned.items()
    }


def value_of(arm: Mapping[str, Any], metric: str) -> float | None:
    """A metric of one entrant, by its dotted name."""
    group, _, task = metric.partition(".")
    value: float | None = arm[group][task] if task else arm[group]
    return value


def _present(report: Report) -> list[str]:
    """The metrics that this log has."""
    arms = report["arms"].values()
    return [metric for metric in _QUALITY if any(value_of(arm, metric) is not None for arm in arms)]


def _count(report: Report) -> str:
    return f"{sum(report['examples'].values()):,}"


def _cell(value: float | None, ci95: Span) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if ci95 is None else f"{value:.4f}\n{ci95[0]:.3f}–{ci95[1]:.3f}"


def _signed(value: float | None, ci95: Span) -> str:
    if value is None:
        return ""
    if ci95 is None:
        return f"{value:+.4f}"
    return f"{value:+.4f}{'*' * exceeds(ci95)}\n{ci95[0]:+.4f}\n{ci95[1]:+.4f}"


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"
