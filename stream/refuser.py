"""SHELL: one dead letter for each message that nobody can use."""

import logging

from schemas.errors import InvalidRecord
from schemas.topics import DEAD_LETTERS
from stream.deadletters import dead_letter
from stream.inbound import Inbound
from stream.metrics import Metrics
from stream.outbox import Outbox

log = logging.getLogger(__name__)


class Refuser:
    """Sends and counts dead letters."""

    def __init__(self, outbox: Outbox, metrics: Metrics) -> None:
        self._outbox = outbox
        self._metrics = metrics

    async def refuse(self, message: Inbound, error: InvalidRecord) -> None:
        """Send a message to `dead-letters`, with the reason."""
        letter = dead_letter(message, error)
        await self._outbox.send(DEAD_LETTERS, letter.key, letter.value, letter.headers)
        self._metrics.dead_letters.labels(error.reason.value).inc()
        log.info("%s[%d]@%d refused: %s", message.topic, message.partition, message.offset, error)
