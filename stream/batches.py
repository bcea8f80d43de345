"""SHELL: whole batches of one partition, in and out, inside a normal Faust worker.

Faust spends its time per message: a drain loop, a conductor, an event and an acknowledgement for each. Here
the consumer and the producer of its aiokafka driver are replaced by ones that also speak batches; consumer
groups, rebalancing, agents, tables and the web stay Faust's. The topics of a `Sink` bypass the agents: it
gets what was fetched of a partition in one call, and commits their offsets itself (`stream/progress.py`).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any, Final, Protocol

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.fetching import patient
from stream.inbound import Fetched
from stream.outbox import Outgoing, Sent
from stream.reconnecting import unhurried

LOOK_S: Final = 0.05
"""How soon to ask again for what a sink does not want yet."""

ANSWER_S: Final = 20.0
"""Longest wait for the broker's last answer: beyond the watchdog's, which is not there yet at the start."""


class Sink(Protocol):
    """Where the batches of some topics go."""

    @property
    def topics(self) -> frozenset[str]:
        """Full names of the topics it takes."""
        ...

    def wants(self, topic: str, partition: int) -> bool:
        """Whether to hand over the next batch of a partition; it will be asked again."""
        ...

    async def take(self, topic: str, partition: int, records: Sequence[Fetched]) -> None:
        """Take consecutive records of one partition. The next batch is fetched when this returns."""
        ...

    def start_over(self) -> None:
        """Forget what was taken: reading goes back to the committed offsets, or to the earliest."""
        ...


class BatchApp(faust.App):  # type: ignore[misc]  # untyped
    """A Faust app whose driver speaks batches too; its attributes are set while it is assembled."""

    sink: Sink | None = None
    on_ask: Callable[[], None] = staticmethod(lambda: None)
    """Called whenever the broker is asked for more, from the consumer's thread."""

    on_answer: Callable[[], None] = staticmethod(lambda: None)
    """Called whenever it has answered, from there too."""

    def subscribe(self, sink: Sink) -> None:
        """Let the group read the sink's topics too, and give it their batches."""
        self.sink = sink
        self.topics.add(self.topic(*sorted(sink.topics), key_type=bytes, value_type=bytes, acks=False))

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Any:
        return _Transport(self.conf.broker_producer, self)


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # untyped
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._client._metadata_update = unhurried(consumer._client._metadata_update)
        consumer._client.send = patient(
            consumer._client.send,
            self.consumer.app.on_ask,
            self.consumer.app.on_answer,
            is_partial=lambda: bool(consumer._fetcher._records),  # what was fetched and not taken
        )
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **options: Any) -> Any:
        """Hand over a part of what was fetched, of one partition after the other.

        aiokafka would go on with the first of them until all of it is taken, seconds' worth of one topic.
        """
        records = await super()._fetch_records(consumer, *args, **options)
        fetched = consumer._fetcher._records
        for tp in fetched.keys() & records:
            fetched.move_to_end(tp)
        return records


class _Consumer(driver.Consumer):  # type: ignore[misc]  # untyped
    """Faust's consumer, which sees nothing of the sink's topics but their partitions and offsets."""

    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Go back to the committed offsets: at the end of every rebalance, and wherever the flow stood still.

        Faust goes back where something was committed; here, the other partitions go back to their start.
        """
        await super().perform_seek()
        committed = self._committed_offset
        changelogs = self.app.tables.changelog_topics
        untouched = [tp for tp in self.assignment() if not committed.get(tp) and tp.topic not in changelogs]
        if untouched:
            await self.seek_wait(await self.earliest_offsets(*untouched))
        if self.app.sink is not None:
            self.app.sink.start_over()

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """Fetch what is wanted; the sink gets its share at once, and Faust's loop the rest."""
        sink = self.app.sink
        if sink is None or active_partitions is None:
            return await super()._getmany(active_partitions, timeout)
        unwanted = {
            tp
            for tp in active_partitions
            if tp.topic in sink.topics and not sink.wants(tp.topic, tp.partition)
        }
        wanted = active_partitions - unwanted
        if not wanted:  # to aiokafka, no partitions are all partitions
            await self.sleep(LOOK_S)
            return {}
        records = await super()._getmany(wanted, LOOK_S if unwanted else timeout)
        for tp in [tp for tp in records if tp.topic in sink.topics]:
            batch = records.pop(tp)
            # What was under way while the flow was stopped is fetched again: Faust seeks before it goes on.
            if self.flow_active and tp in self._get_active_partitions():
                await sink.take(tp.topic, tp.partition, batch)
        return records


class _Producer(driver.Producer):  # type: ignore[misc]  # untyped
    """Faust's producer, which also sends batches that were built whole: one future for all its records."""

    _has_met_broker = False

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        producer.client._metadata_update = unhurried(producer.client._metadata_update)
        return producer

    async def on_start(self) -> None:
        await super().on_start()
        self._has_met_broker = True

    async def on_stop(self) -> None:
        """Stop when the broker has answered once more, also where nothing waits to be sent.

        Who is stopped while it is away has to say so: the watchdog does, when that takes too long.
        """
        if self._has_met_broker:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S):
                    while not await self._producer.client.force_metadata_update():
                        pass  # unhurried
        await super().on_stop()

    async def send_many(self, topic: str, partition: int, records: Sequence[Outgoing]) -> list[Sent]:
        """Hand records of one partition to the buffer, in order; returns the delivery of each."""
        producer = self._ensure_producer()
        sent: list[Sent] = []
        batch = producer.create_batch()
        begun = 0
        for number, (key, value, headers) in enumerate(records):
            record = {"timestamp": None, "key": key, "value": value, "headers": list(headers)}
            if batch.append(**record) is None:  # it is full
                delivery = await producer.send_batch(batch, topic, partition=partition)
                sent.extend(map(Sent, repeat(delivery), range(number - begun)))
                batch, begun = producer.create_batch(), number
                batch.append(**record)
        batch.close()
        delivery = await producer.send_batch(batch, topic, partition=partition)
        sent.extend(map(Sent, repeat(delivery), range(len(records) - begun)))
        return sent


class _Transport(driver.Transport):  # type: ignore[misc]  # untyped
    Consumer = _Consumer
    Producer = _Producer
