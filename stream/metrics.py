"""SHELL: what the worker counts, for Prometheus; the registry is passed in, so that tests stay apart."""

from functools import partial

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
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.events = counter("freshrank_events", "Messages read", ["topic"])
        self.labels = counter("freshrank_labels", "Label revisions sent", ["final"])
        self.orphans = gauge("freshrank_orphans", "Clicks and dwells without an impression")
        self.miskeyed = counter("freshrank_miskeyed", "Messages whose key is not their user's id", ["topic"])
        self.dead_letters = counter("freshrank_dead_letters", "Messages refused", ["reason"])
        self.lag = gauge("freshrank_lag", "Messages that nobody has begun to work on", ["topic", "partition"])
        self.unlearned = gauge(
            "freshrank_unlearned_labels", "Labels sent that no served checkpoint has learned", ["partition"]
        )
        self.unlabelled = gauge(
            "freshrank_unlabelled", "Messages read whose labels are not final", ["partition"]
        )
        self.freshness = histogram(
            "freshrank_freshness_seconds",
            "Time a click took to reach each stage since the one before; `total`: event to served",
            ["stage"],
            buckets=FRESHNESS_BUCKETS,
        )
        self.recommendations = counter("freshrank_recommendations", "Recommendations sent", ["kind"])
        self.degraded = counter("freshrank_degraded", "Recommendations answered by a fallback", ["why"])
        self.answer_seconds = histogram("freshrank_answer_seconds", "Time to answer", buckets=ANSWER_BUCKETS)
        self.checkpoints = counter("freshrank_checkpoints", "Checkpoints seen", ["outcome"])
        self.serving = Info("freshrank_serving", "The serving model version", registry=registry)
        self.unevaluated = counter(
            "freshrank_unevaluated", "Impressions that live evaluation had no time for"
        )

    def observe_freshness(self, trace: Trace) -> None:
        """Count one click's way to a recommendation by stages; a stage without both stamps is left out."""
        for before, after in (*_HOPS, ("event", "served")):
            start, end = getattr(trace, before), getattr(trace, after)
            if start is not None and end is not None:
                stage = "total" if before == "event" and after == "served" else after
                self.freshness.labels(stage).observe(max(0, end - start) / 1000)

    def start_over(self) -> None:
        """Forget what was measured of partitions, which may be another worker's from now on."""
        self.lag.clear()
        self.unlabelled.clear()

    def expose(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
