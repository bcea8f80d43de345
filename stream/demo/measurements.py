"""PURE: what was seen of a running loop from outside. Times are seconds since the replay began."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from schemas.evaluation import Evaluation
from schemas.recommendation import Recommendation
from schemas.trace import Trace

STAGES = (("event", "label"), ("label", "learned"), ("learned", "published"), ("published", "served"))
"""The hops of a click, each named for its end."""

RECENT = 500
"""Answers behind the rolling percentiles."""


class Flow(NamedTuple):
    """Messages so far."""

    second: float
    events: int
    labels: int


class Fresh(NamedTuple):
    """A click's way to an answer by a model that learned it."""

    second: float
    trace: Trace

    @property
    def seconds(self) -> float:
        """From the click to the answer."""
        return _seconds(self.trace, "event", "served")


class AucPoint(NamedTuple):
    """A rolling AUC over the last `shown` items."""

    second: float
    value: float
    shown: int


class Percentiles(NamedTuple):
    """Median and 99th percentile, in seconds; NaN of nothing."""

    p50: float
    p99: float


@dataclass
class Measurements:
    """Grows while the loop runs; one thread writes, others may read."""

    flow: list[Flow] = field(default_factory=lambda: [Flow(0.0, 0, 0)])
    published: int = 0
    served: set[str] = field(default_factory=set)
    version: str | None = None
    fresh: list[Fresh] = field(default_factory=list)
    auc: defaultdict[str, list[AucPoint]] = field(default_factory=lambda: defaultdict(list))

    def count(self, second: float, events: int, labels: int) -> None:
        """Take how many events and labels there are by now."""
        self.flow.append(Flow(second, events, labels))

    def serve(self, second: float, answer: Recommendation, trace: Trace) -> None:
        """Take an answer; one by a fallback shows no model."""
        if answer.model_version is None:
            return
        self.version = answer.model_version
        self.served.add(answer.model_version)
        if trace.event is not None and trace.served is not None:
            self.fresh.append(Fresh(second, trace))

    def evaluate(self, second: float, metric: Evaluation) -> None:
        """Take a metric, if it is an arm's AUC."""
        if metric.name == "auc_click" and "arm" in metric.slice:
            self.auc[metric.slice["arm"]].append(AucPoint(second, metric.value, metric.count))

    @property
    def rates(self) -> tuple[float, float]:
        """Events and labels a second, over the last few looks."""
        first, last = self.flow[-6:][0], self.flow[-1]
        seconds = last.second - first.second
        if seconds <= 0:
            return 0.0, 0.0
        return (last.events - first.events) / seconds, (last.labels - first.labels) / seconds

    def freshness(self, recent: bool = False) -> Percentiles:
        """From click to answer, over all answers or the last `RECENT`."""
        answers = self.fresh[-RECENT:] if recent else self.fresh[:]
        return percentiles([answer.seconds for answer in answers])

    def stage(self, start: str, end: str) -> Percentiles:
        """How long one hop took."""
        whole = [a.trace for a in self.fresh if None not in (getattr(a.trace, start), getattr(a.trace, end))]
        return percentiles([_seconds(trace, start, end) for trace in whole])

    def mean_auc(self, arm: str) -> float:
        """Mean of an arm's rolling AUC over the run, each weighted by its items; NaN without any."""
        points = self.auc[arm]
        if not points:
            return float("nan")
        return float(np.average([p.value for p in points], weights=[p.shown for p in points]))

    def last_auc(self, arm: str) -> float:
        """An arm's rolling AUC of now; NaN before the first."""
        return self.auc[arm][-1].value if self.auc[arm] else float("nan")


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Median and 99th percentile.

    >>> percentiles([1.0, 2.0, 3.0])
    Percentiles(p50=2.0, p99=2.98)
    """
    if not seconds:
        return Percentiles(float("nan"), float("nan"))
    return Percentiles(*np.percentile(seconds, [50, 99]).tolist())


def _seconds(trace: Trace, start: str, end: str) -> float:
    # Stamps of two processes: clocks of one machine may still differ by a millisecond.
    took: int = getattr(trace, end) - getattr(trace, start)
    return max(0, took) / 1000
