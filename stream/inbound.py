"""PURE: a Kafka message as the worker reads it, whatever client fetched it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Inbound(NamedTuple):
    """One message; `topic` without the prefix, `timestamp` in ms since the epoch (the broker's clock)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp: int


class Followed(Protocol):
    """A Kafka record as a follower of a whole topic hands it over."""

    @property
    def key(self) -> bytes | None:
        """The record's key."""
        ...

    @property
    def value(self) -> bytes | None:
        """The record's value; None is a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """The record's headers."""
        ...


class Fetched(Followed, Protocol):
    """A record of a batch, as aiokafka hands it over; `timestamp` in ms since the epoch."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """When it was sent."""
        ...


_NO_HEADERS: Mapping[str, bytes] = {}


def inbound(topic: str, partition: int, record: Fetched) -> Inbound:
    """Return a fetched record as a message of `topic`, which is without prefix."""
    headers = dict(record.headers) if record.headers else _NO_HEADERS
    return Inbound(topic, partition, record.offset, record.key, record.value, headers, record.timestamp)
