"""Looking for a broker or a leader is not repeated at once; an answer that says it all does not wait."""

import asyncio

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.protocol.metadata import MetadataResponse_v1

from stream.process import HOST, free_port
from stream.reconnecting import lacks_leader, unhurried

NOBODY = -1


def layout(leader: int) -> ClusterMetadata:
    """What a broker says of two topics; partition 0 of `clicks` is led by `leader`."""
    cluster = ClusterMetadata()
    topics = [
        (0, "clicks", False, [(5 if leader == NOBODY else 0, 0, leader, [1], [1]), (0, 1, 1, [1], [1])]),
        (0, "labels", False, [(0, 0, 1, [1], [1])]),
    ]
    cluster.update_metadata(
        MetadataResponse_v1(brokers=[(1, HOST, 9092, None)], controller_id=1, topics=topics)
    )
    return cluster


@pytest.mark.parametrize(
    ("leader", "topics", "is_lacking"),
    [(1, ["clicks"], False), (NOBODY, ["clicks"], True), (NOBODY, ["labels"], False), (NOBODY, [], True)],
)
def test_a_leader_is_lacking_when_a_partition_that_is_asked_for_has_none(leader, topics, is_lacking):
    assert lacks_leader(layout(leader), topics) is is_lacking


@pytest.mark.parametrize(
    ("is_answered", "leader", "waits"), [(True, 1, False), (True, NOBODY, True), (False, 1, True)]
)
def test_only_an_answer_with_all_leaders_does_not_wait(is_answered, leader, waits):
    async def update(cluster, topics):
        return is_answered

    async def scenario() -> bool:
        task = asyncio.ensure_future(unhurried(update, pause_s=3600)(layout(leader), ["clicks"]))
        done, _ = await asyncio.wait([task], timeout=0.05)
        task.cancel()
        assert not done or task.result() is is_answered
        return not done

    assert asyncio.run(scenario()) is waits


def test_a_client_without_a_broker_asks_again_and_again_only_as_fast_as_it_is_told():
    asked = []

    async def scenario() -> None:
        client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{free_port()}")

        async def update(cluster, topics):
            asked.append(topics)
            return False

        client._metadata_update = unhurried(update, pause_s=0.05)
        synchronizer = asyncio.ensure_future(client._md_synchronizer())
        for _ in range(3):  # as the sender does while a leader is unknown
            assert await client.force_metadata_update() is False
        synchronizer.cancel()
        assert len(asked) == 3

    async def timed() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await scenario()
        return loop.time() - began

    assert asyncio.run(timed()) >= 3 * 0.05
