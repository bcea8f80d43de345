"""PURE: protocol P3: what it is worth to publish sooner, as differences to never."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream.prequential.exams import K

MONOLITH = (("30 min", 0.7980, 0.7943), ("1 h", 0.7978, 0.7944), ("5 h", 0.7966, 0.7942))
"""Sync interval, AUC of online training, AUC of batch training: Criteo, DeepFM.

Source: Monolith (Liu et al., 2022), table 2.
"""

_NEVER = "@never"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One publish interval; `over_never` is None where the log leaves the metric undefined."""

    interval: str
    value: float | None
    ci95: Sequence[float] | None
    over_never: float | None
    over_never_ci95: Sequence[float] | None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """An arm's metric by publish interval, the shortest first, `never` last."""

    arm: str
    metric: str
    points: Sequence[Point]


def curves(report: Mapping[str, Any]) -> list[Curve]:
    """The curve of every arm that was asked at several intervals, never among them."""
    names = [name.removesuffix(_NEVER) for name in report["arms"] if name.endswith(_NEVER)]
    metric = "auc.click" if report["examples"]["impressions"] else f"hr@{K}"
    return [Curve(arm=name, metric=metric, points=_points(report, name, metric)) for name in names]


def exceeds(ci95: Sequence[float]) -> bool:
    """Whether an interval of differences leaves out zero.

    >>> exceeds((0.1, 0.2)), exceeds((-0.1, 0.2))
    (True, False)
    """
    return ci95[0] > 0 or ci95[1] < 0


def _points(report: Mapping[str, Any], arm: str, metric: str) -> list[Point]:
    entrants = [name for name in report["arms"] if name.startswith(f"{arm}@")]
    return [_point(report, name, f"{arm}{_NEVER}", metric) for name in entrants]


def _point(report: Mapping[str, Any], name: str, never: str, metric: str) -> Point:
    arm = report["arms"][name]
    group, _, task = metric.partition(".")
    # Never comes last of an arm's intervals, so every difference is to it and not from it.
    found: Mapping[str, Any] = {"value": 0.0, "ci95": None}
    if name != never:
        found = report["differences"][f"{name} - {never}"][metric]
    return Point(
        interval=name.partition("@")[2],
        value=arm[group][task] if task else arm[group],
        ci95=arm["ci95"].get(metric),
        over_never=found["value"],
        over_never_ci95=found["ci95"],
    )
