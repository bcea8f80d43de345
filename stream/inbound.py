"""PURE: a Kafka message as the worker reads it, whatever client fetched it."""

from collections.abc import Mapping
from typing import NamedTuple


class Inbound(NamedTuple):
    """One message; `topic` without the prefix, `timestamp` in ms since the epoch (the broker's clock)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp: int
