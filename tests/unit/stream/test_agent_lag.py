import asyncio
import re

from prometheus_client import CollectorRegistry

from stream.agent_lag import AgentLag
from stream.metrics import Metrics
from tests.worker_fakes import inbound


class Assigned:
    """Two partitions of a topic that ends at 10, read from 3."""

    is_now_settled = True

    numbers = (0, 1)

    def is_settled(self) -> bool:
        return self.is_now_settled

    def partitions(self, topic: str) -> list[int]:
        return list(self.numbers)

    async def locate(self, topics, partitions) -> None:
        return None

    def behind(self, partition, positions) -> dict[str, int | None]:
        return {topic: 10 - (3 if position is None else position) for topic, position in positions.items()}


def lags(metrics: Metrics) -> list[int]:
    return [int(float(value)) for value in re.findall(r"freshrank_lag{.*} (.*)", metrics.expose().decode())]


def measured(lag: AgentLag, metrics: Metrics) -> list[int]:
    asyncio.run(lag.measure())
    return lags(metrics)


def test_what_no_agent_has_begun_to_work_on_is_the_lag():
    metrics = Metrics(CollectorRegistry())
    lag = AgentLag(Assigned(), metrics)
    lag.watch("requests")
    lag.taken(inbound("requests", b"", offset=7))
    assert measured(lag, metrics) == [2, 7]
    lag.start_over()
    assert measured(lag, metrics) == [7, 7]


def test_a_partition_that_went_to_another_worker_is_told_of_no_more():
    metrics, assigned = Metrics(CollectorRegistry()), Assigned()
    lag = AgentLag(assigned, metrics)
    lag.watch("requests")
    assert measured(lag, metrics) == [7, 7]
    assigned.numbers = (1,)
    lag.start_over()
    assert measured(lag, metrics) == [7]


def test_nothing_is_measured_while_partitions_move():
    metrics, assigned = Metrics(CollectorRegistry()), Assigned()
    assigned.is_now_settled = False
    lag = AgentLag(assigned, metrics)
    lag.watch("requests")
    assert measured(lag, metrics) == []
