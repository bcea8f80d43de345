"""Looking for a broker that is gone is not repeated at once; an answer does not wait."""

import asyncio

import pytest
from aiokafka.client import AIOKafkaClient

from stream.process import HOST, free_port
from stream.reconnecting import unhurried


@pytest.mark.parametrize("is_answered", [True, False])
def test_only_an_update_without_an_answer_waits(is_answered):
    async def update(cluster, topics):
        return is_answered

    async def scenario() -> bool:
        task = asyncio.ensure_future(unhurried(update, pause_s=3600)(object(), ["clicks"]))
        done, _ = await asyncio.wait([task], timeout=0.05)
        task.cancel()
        return not done

    assert asyncio.run(scenario()) is not is_answered


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
