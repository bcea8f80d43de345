"""Stand-ins for what surrounds the worker's parts: a producer, a consumer's progress, a table, a scorer."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.checkpoint import Manifest
from schemas.errors import CheckpointRefused
from schemas.events import Item
from stream import outbox
from stream.inbound import Inbound
from stream.outbox import Outgoing


class Delivered(NamedTuple):
    """Where a record came to stand."""

    partition: int
    offset: int


class Sent(NamedTuple):
    """A record as it was handed to the producer."""

    topic: str
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]
    partition: int | None = None


class FakeProducer:
    """Keeps what it is sent; deliveries are settled at once, or by `deliver` when `slow`."""

    def __init__(self, slow: bool = False) -> None:
        self.sent: list[Sent] = []
        self.slow = slow
        self._open: list[asyncio.Future[Delivered]] = []

    async def __call__(self) -> "FakeProducer":
        return self

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
    ) -> asyncio.Future[Delivered]:
        return self._deliver([Sent(topic, key, value or b"", dict(headers), partition)])

    async def send_many(self, topic: str, partition: int, records: Sequence[Outgoing]) -> list[outbox.Sent]:
        delivery = self._deliver(
            [Sent(topic, key, value or b"", dict(headers), partition) for key, value, headers in records]
        )
        return [outbox.Sent(delivery, place) for place in range(len(records))]

    def _deliver(self, records: Sequence[Sent]) -> asyncio.Future[Delivered]:
        offset = len(self.on(records[0].topic))
        self.sent.extend(records)
        delivery: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        if self.slow:
            self._open.append(delivery)
        else:
            delivery.set_result(Delivered(0, offset))
        return delivery

    def deliver(self, error: Exception | None = None) -> None:
        for delivery in self._open:
            if error is None:
                delivery.set_result(Delivered(0, 0))
            else:
                delivery.set_exception(error)
        self._open.clear()

    def on(self, topic: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.topic == topic]


class FakeProgress:
    """A consumer that stands still unless `unread` says otherwise, and remembers what was committed."""

    def __init__(self) -> None:
        self.unread: dict[str, int] = {}
        self.fetched: set[str] = set()
        self.told_ms = 2**53
        self.committed: dict[tuple[str, int], int] = {}
        self.cleared = 0

    def is_settled(self) -> bool:
        return True

    async def locate(self, topics: Sequence[str], partitions: Sequence[int]) -> None:
        return None

    def behind(self, partition: int, positions: Mapping[str, int | None]) -> dict[str, int | None]:
        return {topic: self.unread.get(topic, 0) for topic in positions}

    def has_fetched(self, topic: str, partition: int) -> bool:
        return topic in self.fetched

    def told(self, partition: int, topics: Sequence[str]) -> dict[str, int]:
        return dict.fromkeys(topics, self.told_ms)

    async def commit(self, offsets: Mapping[tuple[str, int], int]) -> None:
        self.committed.update(offsets)

    def clear(self) -> None:
        self.cleared += 1


class FakeTable:
    """A Faust table of raw bytes."""

    def __init__(self, changelog: str = "changelog") -> None:
        self.changelog_topic_name = changelog
        self.data: dict[bytes, bytes] = {}


class FakeScorer:
    """Finds the item `best` likely to be clicked and the others unlikely; frozen, it finds the opposite."""

    base_version = "base"

    def __init__(self, best: str = "", version: str | None = None) -> None:
        self.best = best
        self.version = version
        self.batches: list[int] = []
        self.items: dict[str, Item] = {}

    def score(self, queries: Sequence[Any], frozen: bool = False) -> list[Any]:
        self.batches.append(len(queries))
        return [self._score(query.candidates, frozen) for query in queries]

    def answer(self, queries: Sequence[Any]) -> tuple[str | None, list[Any]]:
        return self.version, self.score(queries)

    def _score(self, candidates: Sequence[str], frozen: bool) -> Any:
        probabilities = np.full((len(candidates), 4), 0.1, np.float32)
        probabilities[[(item == self.best) is not frozen for item in candidates], 0] = 0.9
        return probabilities

    def put_items(self, items: Sequence[Item]) -> None:
        self.items.update({item.item_id: item for item in items})

    def remove_item(self, item_id: str) -> None:
        self.items.pop(item_id, None)

    def apply(self, manifest: Manifest, payload: bytes) -> None:
        if payload == b"broken":
            raise CheckpointRefused(f"checkpoint {manifest.version}: expected weights, got none")
        self.version = manifest.version


def inbound(
    topic: str, value: bytes | None, offset: int = 0, timestamp: int = 1_000, **changes: Any
) -> Inbound:
    """A message on partition 0."""
    return Inbound(topic, 0, offset, b"user", value, {}, timestamp)._replace(**changes)


def manifest(version: str = "v", **changes: Any) -> Manifest:
    """A manifest of which only what is named matters."""
    fields: dict[str, Any] = {
        "model": "default",
        "version": version,
        "parent": None,
        "base": "base",
        "created_ts": 0,
        "offsets": {},
        "examples_seen": 9,
        "ranks": {"layer": 4},
        "metrics": {"loss": 0.5},
        "bytes": 12,
        "sha256": "s",
        "chunks": 1,
    }
    return Manifest(**{**fields, **changes})
