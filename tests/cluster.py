"""A worker beside a broker, as the integration tests drive it: send, wait for what must come, kill, start."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas.access import client_options
from schemas.codec import decode
from schemas.labels import LabeledSlate
from schemas.recommendation import Recommendation
from stream.settings import Settings
from tests.processes import Worker

PATIENCE_S = 120.0
"""How long anything may take that has to come; a machine with three times the work is as slow as that."""


class Message(NamedTuple):
    """What is sent, and the topic, without prefix, that it is sent to."""

    topic: str
    value: bytes | None
    key: bytes = b"u"
    headers: tuple[tuple[str, bytes], ...] = ()


def now_ms() -> int:
    """The wall clock, ms since the epoch.

    Event times of what is sent to a live worker: it moves with the clock, and what is older is late there.
    """
    return time.time_ns() // 1_000_000


def slates_of(records: Iterable[Any], request_id: str) -> list[LabeledSlate]:
    """The labels of a request, in the order of the records."""
    slates = [decode(LabeledSlate, record.value) for record in records]
    return [slate for slate in slates if slate.request_id == request_id]


class Cluster:
    """A worker, killed and started again at will, with a producer and readers around it."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self._log = log
        self._producer = KafkaProducer(**client_options(settings), max_request_size=2_000_000)
        self.worker = Worker(settings, log)

    def __enter__(self) -> "Cluster":
        try:
            self.worker.wait_until_ready(PATIENCE_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def restart(self) -> None:
        """Kill the worker, as a crash would, and start it again."""
        self.worker.kill()
        self.worker = Worker(self.settings, self._log)
        self.worker.wait_until_ready(PATIENCE_S)

    def send(
        self, topic: str, value: bytes | None, key: bytes = b"u", headers: tuple[tuple[str, bytes], ...] = ()
    ) -> tuple[str, int, int]:
        """Send a message; returns its topic, without prefix, partition and offset."""
        (place,) = self.send_together([Message(topic, value, key, headers)])
        return place

    def send_together(self, messages: Iterable[Message]) -> list[tuple[str, int, int]]:
        """Send messages at once: on a busy machine a window may pass between two that wait."""
        sent = [
            (
                one.topic,
                self._producer.send(self.settings.prefix + one.topic, one.value, one.key, [*one.headers]),
            )
            for one in messages
        ]
        places = [(topic, delivery.get(timeout=PATIENCE_S)) for topic, delivery in sent]
        return [(topic, place.partition, place.offset) for topic, place in places]

    def read(
        self, topic: str, enough: Callable[[list[Any]], bool], timeout_s: float = PATIENCE_S
    ) -> list[Any]:
        """Everything on the topic, as soon as it is enough."""
        name = self.settings.prefix + topic
        consumer = KafkaConsumer(**client_options(self.settings), group_id=None, enable_auto_commit=False)
        try:
            found = consumer.partitions_for_topic(name)
            consumer.assign([TopicPartition(name, partition) for partition in found])
            consumer.seek_to_beginning()
            records: list[Any] = []

            def look() -> bool:
                for polled in consumer.poll(timeout_ms=100).values():
                    records.extend(polled)
                return enough(records)

            self.worker.until(look, timeout_s, f"enough on {topic}")
            return records
        finally:
            consumer.close()

    def labels(self, request_id: str, enough: Callable[[list[LabeledSlate]], bool]) -> list[LabeledSlate]:
        records = self.read("labels", lambda records: enough(slates_of(records, request_id)))
        return slates_of(records, request_id)

    def answer(self, request_id: str) -> Recommendation:
        def of(records: list[Any]) -> list[Recommendation]:
            answers = [decode(Recommendation, record.value) for record in records]
            return [answer for answer in answers if answer.request_id == request_id]

        return of(self.read("recommendations", lambda records: bool(of(records))))[0]

    def wait_for_metric(self, line: str) -> None:
        """Wait for a line, or its beginning, on the worker's page: it counts after it has sent."""
        self.worker.until(
            lambda: line in self.worker.get("/metrics")[1].decode(), PATIENCE_S, f"the metric {line}"
        )

    def close(self) -> None:
        self._producer.close(timeout=PATIENCE_S)
        if self.worker.is_alive():
            self.worker.stop()
