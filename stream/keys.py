"""SHELL: messages that are not keyed by their user are counted, and told of once.

All of a user has to lie in one partition. A click whose key is another than its slate's, or none, may lie in
another, where no slate waits for it: a label is then wrong, and nothing fails. An erasure may reach a worker
that does not know the user, and so may a request.
"""

import logging

from schemas.events import Erasure, UserEvent
from schemas.recommendation import RecommendationRequest
from stream.inbound import Inbound
from stream.metrics import Metrics

log = logging.getLogger(__name__)


class Keys:
    """Compares the keys of messages with their users; what is keyed wrongly is folded all the same."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told = False

    def check(self, message: Inbound, event: UserEvent | Erasure | RecommendationRequest) -> None:
        """Count a message whose key is not the user id; warn of the first."""
        if message.key == event.user_id.encode():
            return
        self._metrics.miskeyed.labels(message.topic).inc()
        if not self._told:
            self._told = True
            log.warning(
                "%s[%d]@%d: expected the user id %r as the message's key, got %r; what comes of it may be "
                "wrong. The metric freshrank_miskeyed counts all of them",
                *(message.topic, message.partition, message.offset, event.user_id, message.key),
            )
