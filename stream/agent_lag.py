"""SHELL: how far agents are behind in their topics: slow answers, or a database that takes nothing."""

from stream.inbound import Inbound
from stream.metrics import Metrics
from stream.progress import Progress


class AgentLag:
    """Notes what agents take, and tells the metric `freshrank_lag` what they have not taken.

    What waits in Faust's buffers counts as not read: it can be thousands of messages.
    """

    def __init__(self, progress: Progress, metrics: Metrics) -> None:
        self._progress = progress
        self._metrics = metrics
        self._topics: list[str] = []
        self._next: dict[tuple[str, int], int] = {}

    def watch(self, topic: str) -> None:
        """Measure a topic, without prefix, too."""
        self._topics.append(topic)

    def taken(self, message: Inbound) -> None:
        """Take notice of a message that an agent works on."""
        self._next[message.topic, message.partition] = message.offset + 1

    def start_over(self) -> None:
        """Forget how far agents were: partitions were revoked or assigned."""
        self._next.clear()
        self._metrics.start_over()

    async def measure(self) -> None:
        """Tell how much lies behind the last message taken of each partition."""
        if not self._progress.is_settled():
            return
        for topic in self._topics:
            partitions = self._progress.partitions(topic)
            await self._progress.locate([topic], partitions)
            for number in partitions:
                behind = self._progress.behind(number, {topic: self._next.get((topic, number))})
                self._metrics.lag.labels(topic, number).set(behind[topic] or 0)
