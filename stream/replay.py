"""SHELL: records of a log → topics, at their own pace or another."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.access import Access, client_options
from schemas.codec import encode
from schemas.errors import BrokerError
from schemas.events import Item, UserEvent
from schemas.topics import ITEMS, USER_EVENTS
from schemas.trace import LOGGED_AT
from stream.administration import require_broker

FLUSH_EVERY = 10_000
"""Messages between two flushes: kafka-python does not bound what it buffers."""
FLUSH_S = 60.0
CLOSE_S = 10.0
SHORTEST_SLEEP_S = 0.02

Failures = list[tuple[str, BaseException]]
"""(topic, why it did not take a message); filled by the producer's own thread as well."""

TOPIC_OF = {topic.record: topic for topic in (*USER_EVENTS, ITEMS)}

Pace = Callable[[int, int], float]
"""(records sent, event time since the first record in ms) → seconds after the start when the next is due."""


class Producer(Protocol):
    """What is needed of a `kafka.KafkaProducer`."""

    def send(self, topic: str, *, value: bytes, key: bytes, headers: list[tuple[str, bytes]]) -> Any:
        """Buffer a message and return its future."""

    def flush(self, timeout: float | None = None) -> None:
        """Return when every message has been delivered, or has failed."""


class Clock(Protocol):
    """What is needed of the module `time`."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float, /) -> None:
        """Return that many seconds later."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay sent: messages by topic, the event times of its first and last, and how long it took."""

    counts: dict[str, int]
    first_ts: int | None
    last_ts: int | None
    seconds: float

    @property
    def total(self) -> int:
        """All messages."""
        return sum(self.counts.values())


def unpaced(_sent: int, _elapsed_ms: int) -> float:
    """PURE: as fast as the broker takes them."""
    return 0.0


def at_rate(per_second: float) -> Pace:
    """PURE: so many records a second.

    >>> at_rate(100.0)(50, 7)
    0.5
    """
    return lambda sent, _: sent / per_second


def at_speed(factor: float) -> Pace:
    """PURE: so many times as fast as it happened.

    >>> at_speed(60.0)(50, 120_000)
    2.0
    """
    return lambda _, elapsed_ms: elapsed_ms / 1000.0 / factor


@contextmanager
def open_producer(access: Access) -> Iterator[KafkaProducer]:
    """Yield a producer that batches, and close it.

    Raises:
        BrokerError: the broker cannot be reached.
    """
    require_broker(access)
    producer = KafkaProducer(
        **client_options(access),
        linger_ms=5,
        batch_size=128 * 1024,
        max_block_ms=10_000,
        allow_auto_create_topics=False,  # a missing topic is an error, not a topic with default settings
    )
    try:
        yield producer
    finally:
        producer.close(timeout=CLOSE_S)


def replay(
    records: Iterable[Item | UserEvent],
    producer: Producer,
    pace: Pace = unpaced,
    on_progress: Callable[[], None] = lambda: None,
    *,
    prefix: str = "",
    clock: Clock = time,
) -> Replayed:
    """Send records in their order, each when it is due, and return when all have been delivered.

    Keys are user ids (items: item ids). The header `logged-at` carries the event time, so that an old log is
    judged against its own time; the message's timestamp stays the wall clock. `on_progress` is called
    after every record.

    Raises:
        BrokerError: a message could not be delivered; those after it may have been.
    """
    failures: Failures = []
    counts: Counter[str] = Counter()
    started = clock.monotonic()
    first_ts = last_ts = None
    for sent, record in enumerate(records):
        first_ts = record.ts if first_ts is None else first_ts
        last_ts = record.ts
        _wait(clock, started + pace(sent, record.ts - first_ts))
        counts[_send(producer, record, prefix, failures)] += 1
        on_progress()
        if failures or sent % FLUSH_EVERY == FLUSH_EVERY - 1:
            _settle(producer, failures)
    _settle(producer, failures)
    seconds = clock.monotonic() - started
    return Replayed(counts=dict(counts), first_ts=first_ts, last_ts=last_ts, seconds=seconds)


def _wait(clock: Clock, due: float) -> None:
    left = due - clock.monotonic()
    if left > SHORTEST_SLEEP_S:
        clock.sleep(left)


def _send(producer: Producer, record: Item | UserEvent, prefix: str, failures: Failures) -> str:
    """Buffer one record; a failure, now or when it is delivered, is added to `failures`."""
    name = prefix + TOPIC_OF[type(record)].name
    key = record.item_id if isinstance(record, Item) else record.user_id
    headers = [(LOGGED_AT, str(record.ts).encode())]
    try:
        future = producer.send(name, value=encode(record), key=key.encode(), headers=headers)
        future.add_errback(lambda error: failures.append((name, error)))
    except KafkaError as error:
        failures.append((name, error))
    return name


def _settle(producer: Producer, failures: Failures) -> None:
    """Wait for what is buffered; raise the first failure, if there is one."""
    try:
        if not failures:
            producer.flush(timeout=FLUSH_S)
    except KafkaError as error:
        failures.append(("flush", error))
    if failures:
        name, cause = failures[0]
        raise BrokerError(f"{name}: expected the broker to take the message, got {cause!r}") from cause
