"""SHELL: the traffic onto a broker's topics, fast, or at a pace."""

import asyncio
import time
from collections.abc import Iterable
from itertools import islice

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from tests.bench.stream.traffic import TOPICS, Message, user_id

CHUNK = 20_000
BATCH_BYTES = 500_000
UNDER_WAY = 32


def fill(broker: str, prefix: str, partitions: int, messages: Iterable[Message]) -> int:
    """Send all messages as fast as it goes; returns how many."""
    return asyncio.run(_fill(broker, prefix, partitions, messages))


def pace(broker: str, prefix: str, messages: Iterable[Message], start_ts: int) -> int:
    """Send each message when the wall clock reaches its event time; returns how many."""
    return asyncio.run(_pace(broker, prefix, messages, start_ts))


class _Partitions:
    """Where Kafka's default partitioner puts each user; murmur2 once a user."""

    def __init__(self, count: int) -> None:
        self._all = list(range(count))
        self._known: dict[int, int] = {}

    def of(self, user: int) -> int:
        found = self._known.get(user)
        if found is None:
            found = self._known[user] = DefaultPartitioner()(user_id(user).encode(), self._all, self._all)
        return found


async def _fill(broker: str, prefix: str, partitions: int, messages: Iterable[Message]) -> int:
    where, sent, under_way = _Partitions(partitions), 0, set()
    stream = iter(messages)
    async with AIOKafkaProducer(bootstrap_servers=broker, max_batch_size=BATCH_BYTES) as producer:
        while chunk := list(islice(stream, CHUNK)):
            groups: dict[tuple[int, int], list[Message]] = {}
            for message in chunk:
                groups.setdefault((message.topic, where.of(message.user)), []).append(message)
            for (topic, partition), group in groups.items():
                for future in await _send(producer, prefix + TOPICS[topic], partition, group):
                    under_way.add(future)
                    future.add_done_callback(under_way.discard)
            while len(under_way) > UNDER_WAY:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            sent += len(chunk)
    return sent


async def _send(producer: AIOKafkaProducer, topic: str, partition: int, group: list[Message]) -> list:
    futures, batch = [], producer.create_batch()
    for message in group:
        key = user_id(message.user).encode()
        if batch.append(timestamp=None, key=key, value=message.value) is None:
            futures.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=message.value)
    futures.append(await producer.send_batch(batch, topic, partition=partition))
    return futures


async def _pace(broker: str, prefix: str, messages: Iterable[Message], start_ts: int) -> int:
    sent = 0
    async with AIOKafkaProducer(
        bootstrap_servers=broker, max_batch_size=BATCH_BYTES, linger_ms=2
    ) as producer:
        for message in messages:
            ahead = message.ts / 1000 - time.time()
            if ahead > 0.002:
                await asyncio.sleep(ahead)
            await producer.send(prefix + TOPICS[message.topic], message.value, user_id(message.user).encode())
            sent += 1
    return sent
