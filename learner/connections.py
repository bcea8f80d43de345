"""SHELL: connections to Kafka over kafka-python, and a log's messages as the learner reads them."""

import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from learner.reconnecting import slow_down
from schemas.access import Access, client_options
from schemas.errors import BrokerError

CONNECT_S: Final = 30.0
"""How long a broker may take to answer at first."""

TOPIC_S: Final = 30.0
"""How long a topic may take to appear: at the first start the worker makes it at the same time."""

SEND_S: Final = 300.0
"""How long an acknowledgement may take before sending has failed: as long an outage is sat out."""

_POLL_S: Final = 0.2
LOOK_S: Final = 0.02
"""How often to look for what has come; what is urgent waits half as long for it on average."""

_BACKOFF_MS: Final = 1_000


class Message(NamedTuple):
    """A Kafka message; `timestamp` in ms since the epoch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int


def connect_producer(access: Access) -> KafkaProducer:
    """Return a producer that waits for every in-sync replica and does not repeat itself on retries.

    Raises:
        BrokerError: no broker answers.
    """
    await_broker(access.broker, CONNECT_S)
    try:
        producer = KafkaProducer(
            **client_options(access),
            acks="all",
            delivery_timeout_ms=int(SEND_S * 1000),
            request_timeout_ms=10_000,
            max_block_ms=int(CONNECT_S * 1000),
            reconnect_backoff_max_ms=_BACKOFF_MS,
            allow_auto_create_topics=False,
        )
    except KafkaError as error:
        raise BrokerError(f"broker {access.broker}: expected an answer, got {error!r}") from error
    slow_down(producer._sender)
    return producer


def connect_consumer(access: Access, group: str | None = None, timeout_s: float = CONNECT_S) -> KafkaConsumer:
    """Return a consumer that is to be assigned its partitions, and never joins or commits by itself.

    Raises:
        BrokerError: no broker answers in time.
    """
    await_broker(access.broker, timeout_s)
    try:
        return KafkaConsumer(
            **client_options(access),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            reconnect_backoff_max_ms=_BACKOFF_MS,
            bootstrap_timeout_ms=int(timeout_s * 1000),
            allow_auto_create_topics=False,
        )
    except KafkaError as error:
        raise BrokerError(f"broker {access.broker}: expected an answer, got {error!r}") from error


def require_answer(access: Access, timeout_s: float) -> None:
    """Return when a broker has answered: one that hangs accepts connections as well.

    Raises:
        BrokerError: none did in time.
    """
    connect_consumer(access, timeout_s=timeout_s).close(timeout_ms=int(timeout_s * 1000))


def close_producer(producer: KafkaProducer, timeout_s: float) -> None:
    """Close a producer when all that it was given is acknowledged.

    Raises:
        BrokerError: it was not, in time.
    """
    try:
        producer.close(timeout=timeout_s)
    except KafkaError as error:
        place = ",".join(producer.config["bootstrap_servers"])
        raise BrokerError(
            f"broker {place}: expected what was sent to be acknowledged within {timeout_s} s, got {error!r}"
        ) from error


def await_broker(bootstrap: str, timeout_s: float) -> None:
    """Wait until a server accepts connections: a client that finds nobody leaks threads and sockets.

    Raises:
        BrokerError: none did in time.
    """
    deadline = time.monotonic() + timeout_s
    while not any(map(_is_listening, bootstrap.split(","))):
        if time.monotonic() >= deadline:
            raise BrokerError(f"broker {bootstrap}: expected a connection, got none in {timeout_s} s")
        time.sleep(_POLL_S)


def _is_listening(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def partitions_of(consumer: KafkaConsumer, topic: str, timeout_s: float = TOPIC_S) -> list[TopicPartition]:
    """Return the partitions of a topic, waiting for the topic to appear.

    Raises:
        BrokerError: it did not.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := consumer.partitions_for_topic(topic)):
        if time.monotonic() >= deadline:
            raise BrokerError(f"topic {topic}: expected it to exist, got none; `freshrank topics create`")
        time.sleep(_POLL_S)
    return [TopicPartition(topic, partition) for partition in sorted(found)]


def poll(
    consumer: KafkaConsumer, timeout_ms: int, most: int | None = None, look_s: float = LOOK_S
) -> list[Message]:
    """Return what has come, in order within each partition, waiting for the first no longer than the timeout.

    The waiting is done here: while kafka-python waits, it fetches again as soon as a fetch comes back empty,
    and a broker that does not hold such a fetch back (the embedded one) is then asked hundreds of times a
    second. Each idle reader would cost a quarter of a core. It looks every `look_s`.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    while not (found := _messages(consumer.poll(timeout_ms=0, max_records=most))):
        if time.monotonic() >= deadline:
            break
        time.sleep(look_s)
    return found


def _messages(polled: Mapping[TopicPartition, Iterable[Any]]) -> list[Message]:
    return [
        Message(r.topic, r.partition, r.offset, r.key, r.value, r.headers, r.timestamp)
        for records in polled.values()
        for r in records
    ]


def start_offset(wanted: int | None, first: int, end: int) -> int:
    """Where to begin to read a log that holds [first, end): at the offset wanted, if it can be.

    What retention deleted is skipped. An offset behind the end belongs to a log that is no more, and
    this one is read whole: the ledger leaves out the labels that are known.

    >>> start_offset(None, 5, 9), start_offset(7, 5, 9), start_offset(2, 5, 9), start_offset(10, 5, 9)
    (5, 7, 5, 5)
    """
    return wanted if wanted is not None and first <= wanted <= end else first
