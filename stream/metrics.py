"""SHELL: what the worker counts, for Prometheus; the registry is passed in, so that tests stay apart."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from schemas.trace import Trace

FRESHNESS_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.4, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds. 2.4 s is the event-to-served figure that Ekko (OSDI'22) publishes."""

ANSWER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_HOPS = (("event", "label"), ("label", "learned"), ("learned", "published"), ("published", "served"))


class Metrics:
    """Counters, gauges and histograms of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.events = Counter("freshrank_events", "Messages read", ["topic"], registry=registry)
        self.labels = Counter("freshrank_labels", "Label revisions sent", ["final"], registry=registry)
        self.orphans = Gauge(
            "freshrank_orphans", "Clicks and dwells without an impression", registry=registry
        )
        self.dead_letters = Counter(
            "freshrank_dead_letters", "Messages refused", ["reason"], registry=registry
        )
        self.lag = Gauge("freshrank_lag", "Messages not yet read", ["topic", "partition"], registry=registry)
        self.unlabelled = Gauge(
            "freshrank_unlabelled",
            "Messages read whose labels are not final",
            ["partition"],
            registry=registry,
        )
        self.freshness = Histogram(
            "freshrank_freshness_seconds",
            "Time a click took to reach each stage since the one before; `total`: event to served",
            ["stage"],
            buckets=FRESHNESS_BUCKETS,
            registry=registry,
        )
        self.recommendations = Counter(
            "freshrank_recommendations", "Recommendations sent", ["kind"], registry=registry
        )
        self.degraded = Counter(
            "freshrank_degraded", "Recommendations answered by a fallback", ["why"], registry=registry
        )
        self.answer_seconds = Histogram(
            "freshrank_answer_seconds", "Time to answer", buckets=ANSWER_BUCKETS, registry=registry
        )
        self.checkpoints = Counter(
            "freshrank_checkpoints", "Checkpoints seen", ["outcome"], registry=registry
        )
        self.serving = Info("freshrank_serving", "The serving model version", registry=registry)
        self.unevaluated = Counter(
            "freshrank_unevaluated", "Impressions that live evaluation had no time for", registry=registry
        )

    def observe_freshness(self, trace: Trace) -> None:
        """Count one click's way to a recommendation by stages; a stage without both stamps is left out."""
        for before, after in (*_HOPS, ("event", "served")):
            start, end = getattr(trace, before), getattr(trace, after)
            if start is not None and end is not None:
                stage = "total" if before == "event" and after == "served" else after
                self.freshness.labels(stage).observe(max(0, end - start) / 1000)

    def expose(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
