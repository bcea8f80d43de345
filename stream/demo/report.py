"""PURE: measurements → the report of a demo."""

import math
from typing import Any

from stream.demo.measurements import STAGES, Measurements, Percentiles
from stream.demo.plan import Plan

ARMS = ("online", "frozen")


def report(seen: Measurements, plan: Plan, broker: str, seconds: float) -> dict[str, Any]:
    """Return the report as JSON values; what could not be measured is null.

    `auc` is the mean of the rolling AUC of clicks over the run: each slate is scored by both arms when it is
    shown, and judged when its label is final. `freshness_s` is from a click to an answer by a model that has
    learned it, `stages_s` each hop of that way.
    """
    return {
        "events": seen.flow[-1].events,
        "labels": seen.flow[-1].labels,
        "checkpoints_published": seen.published,
        "checkpoints_served": len(seen.served),
        "freshness_s": {**_percentiles(seen.freshness()), "answers": len(seen.fresh)},
        "stages_s": {end: _percentiles(seen.stage(start, end)) for start, end in STAGES},
        "auc": {arm: _number(seen.mean_auc(arm), 4) for arm in ARMS},
        "broker": broker,
        "replay": {"users": plan.users, "base_part": plan.base_part, "rate": plan.rate},
        "seconds": round(seconds, 1),
    }


def _percentiles(found: Percentiles) -> dict[str, float | None]:
    return {"p50": _number(found.p50, 3), "p99": _number(found.p99, 3)}


def _number(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)
