"""PURE: what the labels of a log look like: how many, how soon, how certain, and how fair to long items."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from math import log2
from typing import Any

from schemas.events import Click, Impression, UserEvent
from schemas.labels import FEEDBACK_SURFACE, LabeledSlate, Outcome
from stream.slates import Durations

QUANTILES = (0.5, 0.9, 0.99)
KINDS = ("click", "quick negative", "final", "correction", "feedback")
SATISFACTION_ABOVE = 500
"""A bucket of lengths with fewer stays says nothing."""

TRUST_BINS = 10
_PER_OCTAVE = 8


@dataclass
class Delays:
    """A histogram of delays, with bins of an eighth of an octave, 9 %; `sums` are those of each bin, ms."""

    bins: Counter[int] = field(default_factory=Counter)
    sums: Counter[int] = field(default_factory=Counter)

    def add(self, delay_ms: int) -> None:
        """Count a delay; what is stamped before its impression counts as 0."""
        number = int(_PER_OCTAVE * log2(delay_ms)) + 1 if delay_ms > 0 else 0
        self.bins[number] += 1
        self.sums[number] += max(0, delay_ms)

    def quantile(self, share: float) -> float | None:
        """Return the mean of a quantile's bin, in seconds; None while there is nothing.

        A window is where most delays end, and is told as it is.

        >>> delays = Delays()
        >>> for delay_ms in (1_000, 600_000, 600_000):
        ...     delays.add(delay_ms)
        >>> delays.quantile(0.1), delays.quantile(0.5)
        (1.0, 600.0)
        """
        rank, total = share * self.bins.total(), 0
        for number, count in sorted(self.bins.items()):
            total += count
            if total >= rank:
                return self.sums[number] / count / 1000
        return None

    def reached(self) -> list[tuple[float, float]]:
        """Return (seconds, share of the delays that are shorter), by upper ends of bins."""
        total, shares = self.bins.total(), accumulate(count for _, count in sorted(self.bins.items()))
        return [
            (edge_s(number + 1), below / total)
            for number, below in zip(sorted(self.bins), shares, strict=True)
        ]


def edge_s(number: int) -> float:
    """The lower end of a bin of delays, in seconds.

    >>> edge_s(0), edge_s(1), edge_s(81)
    (0.0, 0.001, 1.024)
    """
    return 0.0 if number == 0 else float(2 ** ((number - 1) / _PER_OCTAVE)) / 1000


@dataclass
class Mean:
    """A mean in the making."""

    count: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count one more value."""
        self.count += 1
        self.total += value


class LabelReport:
    """Totals over a log; show it every event, and every label with it."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self.source: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.clicked: Counter[str] = Counter()
        self.delays = {kind: Delays() for kind in KINDS}
        self.satisfaction: dict[int, Mean] = {}
        self.trust = [0] * TRUST_BINS

    def see(self, event: UserEvent) -> None:
        """Count an event of the source."""
        if isinstance(event, Impression):
            self.source["impressions"] += 1
            self.source["exposures"] += len(event.items)
        elif isinstance(event, Click):
            self.source["clicks"] += 1

    def fold(self, label: LabeledSlate) -> None:
        """Count a label."""
        kind = kind_of(label)
        outcomes = label.outcomes
        self.labels[kind] += 1
        self.outcomes[kind] += len(outcomes)
        self.delays[kind].add(label.observed_ts - label.ts)
        clicks = sum(outcome.clicked for outcome in outcomes)
        self.clicked[kind] += clicks
        if kind == "final":
            for outcome in outcomes:
                self._judge(outcome)

    def _judge(self, outcome: Outcome) -> None:
        self.trust[min(TRUST_BINS - 1, int(TRUST_BINS * outcome.trust))] += 1
        if outcome.satisfaction is None or outcome.feedback:
            return
        duration_ms = self._durations(outcome.item_id)
        if duration_ms:
            bucket = int(2 * log2(max(1.0, duration_ms / 1000)))
            self.satisfaction.setdefault(bucket, Mean()).add(outcome.satisfaction)

    def result(self, counts: dict[str, int]) -> dict[str, Any]:
        """Return all totals, JSON-able; `counts` are the fold's own."""
        negatives = self.outcomes["final"] - self.clicked["final"]
        return {
            "source": dict(self.source),
            "labels": dict(self.labels),
            "outcomes": dict(self.outcomes),
            "clicked": dict(self.clicked) | {"at_last": self.clicked["final"] + counts.get("late_clicks", 0)},
            "quick_negative_share": self.outcomes["quick negative"] / negatives if negatives else None,
            "delay_s": {
                kind: {f"p{100 * share:g}": delays.quantile(share) for share in QUANTILES}
                for kind, delays in self.delays.items()
                if delays.bins
            },
            "satisfaction_by_duration": self.by_duration(),
            "satisfaction_spread": self.spread(),
            "trust": self.trust,
            "counts": counts,
        }

    def by_duration(self) -> list[dict[str, float]]:
        """Mean satisfaction by length, in half octaves from 1 s up, where there are enough stays."""
        return [
            {"from_s": 2 ** (bucket / 2), "stays": mean.count, "mean": mean.total / mean.count}
            for bucket, mean in sorted(self.satisfaction.items())
            if mean.count >= SATISFACTION_ABOVE
        ]

    def spread(self) -> float | None:
        """How far the mean of a bucket of lengths is from that of all stays, at most; 0: no duration bias."""
        known = self.by_duration()
        if not known:
            return None
        mean = sum(one["stays"] * one["mean"] for one in known) / sum(one["stays"] for one in known)
        return max(abs(one["mean"] - mean) for one in known)


def kind_of(label: LabeledSlate) -> str:
    """What a revision tells of, by the order in which revisions are numbered."""
    if label.surface == FEEDBACK_SURFACE:
        return "feedback"
    items = len(label.slate)
    if label.revision < items:
        return "click"
    if label.revision < 2 * items:
        return "quick negative"
    return "final" if label.revision == 2 * items else "correction"
