"""One table of topics: name, key, record, retention. Everything that creates or reads a topic reads this."""

from typing import Literal, NamedTuple

from schemas import events
from schemas.checkpoint import Manifest
from schemas.evaluation import Evaluation
from schemas.labels import LabeledSlate
from schemas.recommendation import Recommendation, RecommendationRequest
from schemas.record import Record

DAY_MS = 86_400_000
RETENTION_MS = 7 * DAY_MS
"""User events older than this, against the time they were logged, are refused."""


class Topic(NamedTuple):
    """A topic. `co_partitioned` ones have the same partition count and are keyed by user id."""

    name: str
    key: str
    record: type[Record] | None
    cleanup: Literal["delete", "compact", "compact,delete"]
    retention_ms: int | None = None
    co_partitioned: bool = False

    def config(self, replication: int = 1) -> dict[str, str]:
        """The topic's broker configuration.

        Producers wait for all replicas that are in sync. Where there are several, all but one have to be, so
        that what was acknowledged outlives a broker, and writing goes on without it.

        >>> Topic("t", "k", None, "compact").config(replication=3)
        {'cleanup.policy': 'compact', 'min.insync.replicas': '2'}
        """
        config: dict[str, str] = {"cleanup.policy": self.cleanup}
        if replication > 1:
            config["min.insync.replicas"] = str(replication - 1)
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        return config


def _user_topic(name: str, record: type[Record], days: int) -> Topic:
    return Topic(name, "user_id", record, "delete", days * DAY_MS, co_partitioned=True)


IMPRESSIONS = _user_topic("impressions", events.Impression, 7)
CLICKS = _user_topic("clicks", events.Click, 7)
DWELLS = _user_topic("dwells", events.Dwell, 7)
FEEDBACK = _user_topic("feedback", events.Feedback, 7)
SEARCHES = _user_topic("searches", events.Search, 7)
ITEMS = Topic("items", "item_id", events.Item, "compact")
ERASURES = _user_topic("erasures", events.Erasure, 7)
LABELS = _user_topic("labels", LabeledSlate, 7)
MODELS = Topic("models", "model/version/n", Manifest, "compact,delete", 30 * DAY_MS)
REQUESTS = _user_topic("recommendation-requests", RecommendationRequest, 1)
RECOMMENDATIONS = _user_topic("recommendations", Recommendation, 1)
EVALUATIONS = Topic("evaluations", "metric name", Evaluation, "delete", 30 * DAY_MS)
DEAD_LETTERS = Topic("dead-letters", "original key", None, "delete", 30 * DAY_MS)

USER_EVENTS = (IMPRESSIONS, CLICKS, DWELLS, FEEDBACK, SEARCHES)
"""The topics that are folded into sessions and labels."""

TOPICS = (
    *USER_EVENTS,
    ITEMS,
    ERASURES,
    LABELS,
    MODELS,
    REQUESTS,
    RECOMMENDATIONS,
    EVALUATIONS,
    DEAD_LETTERS,
)
