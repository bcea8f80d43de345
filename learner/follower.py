"""SHELL: reads a whole topic from its beginning and then on, without a group, on a thread of its own."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from learner.connections import LOOK_S, Message, connect_consumer, partitions_of, poll, start_offset
from schemas.access import Access
from schemas.errors import BrokerError

logger = logging.getLogger(__name__)

RETRY_S: Final = 1.0
_POLL_MS: Final = 200
_CONNECT_S: Final = 5.0


class Follower:
    """Hands every record of a topic to `on_record`, partition by partition in order, until `stop` is set.

    A broker that goes away is waited for, and reading goes on where it was. An error of `on_record` ends
    the thread and is raised by `wait` and `check`: a follower that silently stands still would be worse.
    """

    def __init__(
        self,
        access: Access,
        topic: str,
        on_record: Callable[[Message], None],
        stop: threading.Event,
        look_s: float = LOOK_S,
    ) -> None:
        self._access = access
        self._look_s = look_s
        self._topic = topic
        self._on_record = on_record
        self._stop = stop
        self._positions: dict[int, int] = {}
        self._goal: dict[TopicPartition, int] | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"follow-{topic}", daemon=True)
        self.caught_up = threading.Event()

    def start(self) -> "Follower":
        """Begin to read."""
        self._thread.start()
        return self

    def check(self) -> None:
        """Raise the error that ended the thread, if one did."""
        if self._failure is not None:
            raise self._failure

    def wait(self, timeout_s: float) -> bool:
        """Wait until all that was there at the start has been handed over; False if that takes longer."""
        caught_up = self.caught_up.wait(timeout_s)
        self.check()
        return caught_up

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end, once `stop` is set; False if that takes longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except (KafkaError, BrokerError) as error:
                logger.warning("follow %s: %r; trying again in %s s", self._topic, error, RETRY_S)
                self._stop.wait(RETRY_S)
            except Exception as error:
                logger.exception("follow %s: ended at %s", self._topic, self._positions)
                self._failure = error
                self.caught_up.set()  # lets a waiter see the error at once
                return

    def _read(self) -> None:
        """Read until told to stop, or until an error."""
        consumer = connect_consumer(self._access, timeout_s=_CONNECT_S)
        try:
            partitions = self._seek(consumer)
            while not self._stop.is_set():
                self._note_progress(consumer, partitions)
                look_s = self._look_s if self.caught_up.is_set() else LOOK_S
                for message in poll(consumer, _POLL_MS, look_s=look_s):
                    self._on_record(message)
                    self._positions[message.partition] = message.offset + 1
        finally:
            consumer.close(timeout_ms=1_000)

    def _seek(self, consumer: KafkaConsumer) -> list[TopicPartition]:
        partitions = partitions_of(consumer, self._topic, _CONNECT_S)
        consumer.assign(partitions)
        first, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        for tp in partitions:
            consumer.seek(tp, start_offset(self._positions.get(tp.partition), first[tp], ends[tp]))
        if self._goal is None:
            self._goal = ends
        return partitions

    def _note_progress(self, consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
        """The consumer's own positions also pass what is no record: transaction marks, compacted gaps."""
        if self.caught_up.is_set() or self._goal is None:
            return
        if all(consumer.position(tp) >= self._goal.get(tp, 0) for tp in partitions):
            self.caught_up.set()


def follow(
    access: Access,
    topic: str,
    on_record: Callable[[Message], None],
    stop: threading.Event,
    look_s: float = LOOK_S,
) -> Follower:
    """Start to follow a topic; `topic` with its prefix. Once at its end, it looks for more every `look_s`."""
    return Follower(access, topic, on_record, stop, look_s).start()
