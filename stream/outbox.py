"""SHELL: what the worker sends, and whether it arrived."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple, Protocol

from schemas.codec import MAX_BYTES
from schemas.topics import Topic

Delivery = asyncio.Future[Any]
"""Of a record, or of a batch of them; its result has `partition`, and the `offset` of the first."""

UNDER_WAY: Final = 256
"""Deliveries that a batch may find under way; with more, a slow broker slows the reading down."""

log = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """A record of a batch."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Sent(NamedTuple):
    """A record that was handed over: the delivery of its batch, and its place in it."""

    delivery: Delivery
    place: int = 0

    def then(self, note: Callable[[int, int], None]) -> None:
        """Call `note(partition, offset)` once the broker has it; not at all if it does not come to that."""

        def arrived(delivery: Delivery) -> None:
            if not delivery.cancelled() and delivery.exception() is None:
                found = delivery.result()
                note(found.partition, found.offset + self.place)

        self.delivery.add_done_callback(arrived)


class Producer(Protocol):
    """The part of the worker's producer that is used here; both calls only fill its buffer."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
    ) -> Delivery:
        """Send one record."""
        ...

    async def send_many(self, topic: str, partition: int, records: Sequence[Outgoing]) -> list[Sent]:
        """Send records of one partition, in order."""
        ...


class Outbox:
    """Sends without waiting, and remembers what is still on its way.

    Input offsets may be committed only after `settle`: then every record made of those inputs has been
    taken by the broker.
    """

    def __init__(self, producer: Callable[[], Awaitable[Producer]], prefix: str) -> None:
        self._producer = producer
        self._prefix = prefix
        self._pending: set[Delivery] = set()

    async def send(
        self, topic: Topic, key: bytes | None, value: bytes, headers: Mapping[str, bytes] | None = None
    ) -> Sent | None:
        """Send a record to a topic of the table; a record that no broker would take is logged, and None."""
        name = self._prefix + topic.name
        if not _fits(name, value):
            return None
        producer = await self._producer()
        delivery = await producer.send(name, key, value, None, None, list((headers or {}).items()))
        self._remember(delivery)
        return Sent(delivery)

    async def send_many(self, topic: Topic, partition: int, records: Sequence[Outgoing]) -> list[Sent | None]:
        """Send records to one partition of a topic of the table, as `send` does one by one."""
        return await self.send_raw(self._prefix + topic.name, partition, records)

    async def send_raw(self, name: str, partition: int, records: Sequence[Outgoing]) -> list[Sent | None]:
        """Send records to one partition of a topic by its full name. Waits while too much is under way."""
        fits = [_fits(name, record.value) for record in records]
        if not any(fits):
            return [None] * len(records)
        await self._ebb()
        producer = await self._producer()
        sent = await producer.send_many(name, partition, list(compress(records, fits)))
        for delivery in {one.delivery for one in sent}:
            self._remember(delivery)
        if all(fits):
            return list(sent)
        in_turn = iter(sent)
        return [next(in_turn) if fit else None for fit in fits]

    async def settle(self) -> None:
        """Wait until everything sent so far has arrived; raises what kept a record from arriving."""
        if self._pending:
            await asyncio.gather(*self._pending)

    async def _ebb(self) -> None:
        while len(self._pending) >= UNDER_WAY:
            done, _ = await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
            for delivery in done:
                delivery.result()

    def _remember(self, delivery: Delivery) -> None:
        self._pending.add(delivery)
        delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: Delivery) -> None:
        if not delivery.cancelled() and delivery.exception() is None:
            self._pending.discard(delivery)


def _fits(name: str, value: bytes | None) -> bool:
    if value is None or len(value) <= MAX_BYTES:
        return True
    log.error("%s: record of %d bytes not sent, expected at most %d", name, len(value), MAX_BYTES)
    return False
