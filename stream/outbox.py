"""SHELL: what the worker sends, and whether it arrived."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from schemas.codec import MAX_BYTES
from schemas.topics import Topic

Sent = asyncio.Future[Any]
"""The delivery of a record; its result has `partition` and `offset`."""

log = logging.getLogger(__name__)


class Producer(Protocol):
    """The part of Faust's producer that is used here."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
    ) -> Any:
        """Hand a message to the producer's buffer; returns a future of its delivery."""
        ...


class Outbox:
    """Sends without waiting, and remembers what is still on its way.

    Input offsets may be committed only after `settle`: then every record made of those inputs has been
    taken by the broker.
    """

    def __init__(self, producer: Callable[[], Awaitable[Producer]], prefix: str) -> None:
        self._producer = producer
        self._prefix = prefix
        self._pending: set[Sent] = set()

    async def send(
        self, topic: Topic, key: bytes | None, value: bytes, headers: Mapping[str, bytes] | None = None
    ) -> Sent | None:
        """Send a record to a topic of the table; returns its delivery, which tells its partition and offset.

        A record that no broker would take is logged and left out, and None.
        """
        if len(value) > MAX_BYTES:
            log.error(
                "%s: record of %d bytes not sent, expected at most %d", topic.name, len(value), MAX_BYTES
            )
            return None
        producer = await self._producer()
        pairs = list((headers or {}).items())
        delivery: Sent = await producer.send(self._prefix + topic.name, key, value, None, None, pairs)
        self._pending.add(delivery)
        delivery.add_done_callback(self._delivered)
        return delivery

    async def settle(self) -> None:
        """Wait until everything sent so far has arrived; raises what kept a record from arriving."""
        if self._pending:
            await asyncio.gather(*self._pending)

    def _delivered(self, delivery: Sent) -> None:
        if not delivery.cancelled() and delivery.exception() is None:
            self._pending.discard(delivery)
