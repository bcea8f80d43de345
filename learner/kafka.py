"""SHELL: what the learner reads from and writes to Kafka. `follower.py` reads whole topics."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
from kafka import KafkaProducer, OffsetAndMetadata
from kafka.errors import KafkaError

from learner import checkpoint
from learner.background import Background
from learner.connections import (
    CONNECT_S,
    SEND_S,
    Message,
    connect_consumer,
    partitions_of,
    poll,
    start_offset,
)
from learner.ports import Prepare, Received
from schemas import codec, topics, trace
from schemas.access import Access
from schemas.deadletters import enclose
from schemas.errors import BrokerError, InvalidRecord
from schemas.evaluation import Evaluation
from schemas.headers import schema_of
from schemas.labels import LabeledSlate
from schemas.trace import Trace

logger = logging.getLogger(__name__)


class LabelSource:
    """The labels topic, or one rank's share of its partitions, read from offsets that the caller keeps.

    Bad records become dead letters, acknowledged before their offset counts as read. Fewer than `least`
    labels are held back until more have come, and do not count as read.
    """

    def __init__(
        self,
        access: Access,
        prefix: str,
        group: str,
        producer: KafkaProducer,
        rank: int = 0,
        world_size: int = 1,
        least: int = 1,
    ) -> None:
        self._consumer = connect_consumer(access, group)
        self._producer = producer
        self._dead_letters = prefix + topics.DEAD_LETTERS.name
        self._next: dict[int, int] = {}
        self._least, self._waiting = least, deque[Message]()
        self.refused = 0
        everyone = partitions_of(self._consumer, prefix + topics.LABELS.name)
        self._mine = [tp for tp in everyone if tp.partition % world_size == rank]
        self._consumer.assign(self._mine)

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go on from these offsets, by partition; from the beginning of a partition that is not named."""
        first = self._consumer.beginning_offsets(self._mine)
        ends = self._consumer.end_offsets(self._mine)
        self._waiting.clear()
        for tp in self._mine:
            wanted = offsets.get(tp.partition)
            start = start_offset(wanted, first[tp], ends[tp])
            if wanted not in (None, start):
                logger.warning(
                    "labels partition %d: expected offset %d in [%d, %d], reading from %d",
                    tp.partition,
                    wanted,
                    first[tp],
                    ends[tp],
                    start,
                )
            self._consumer.seek(tp, start)
            self._next[tp.partition] = start

    def poll(self, most: int, timeout_ms: int) -> list[Received]:
        """Return up to `most` labels, waiting for the first ones no longer than the timeout.

        Raises:
            BrokerError: a dead letter could not be sent.
        """
        self._waiting.extend(poll(self._consumer, timeout_ms, most - len(self._waiting)))
        if len(self._waiting) < min(self._least, most):
            return []
        received = []
        while self._waiting:
            message = self._waiting.popleft()
            try:
                received.append(_receive(message))
            except InvalidRecord as error:
                self._refuse(message, error)
            self._next[message.partition] = message.offset + 1
        return received

    def offsets(self) -> dict[int, int]:
        """The next offset of every partition, after all that was polled."""
        return dict(self._next)

    def commit(self) -> None:
        """Tell the broker how far we are, for lag monitoring only: no restart reads it."""
        offsets = {tp: OffsetAndMetadata(self._next[tp.partition], "", -1) for tp in self._mine}
        self._consumer.commit_async(offsets, callback=_log_commit)

    def close(self) -> None:
        """Leave the broker, within two seconds."""
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def _refuse(self, message: Message, error: InvalidRecord) -> None:
        self.refused += 1
        logger.warning("labels %d@%d refused: %s", message.partition, message.offset, error)
        letter = enclose(
            error,
            topic=topics.LABELS.name,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=dict(message.headers),
        )
        # Learning waits for it: what is refused must be on record before its offset is passed.
        headers = list(letter.headers.items())
        _acknowledged([self._producer.send(self._dead_letters, letter.value, letter.key, headers)], CONNECT_S)


class ModelSink:
    """Sends checkpoints to the models topic, beside the training thread.

    The manifest is sent once its chunks are acknowledged: partitions have no order among each other.
    """

    def __init__(self, producer: KafkaProducer, prefix: str, clock: Callable[[], int]) -> None:
        self._producer = producer
        self._topic = prefix + topics.MODELS.name
        self._clock = clock
        self._sending: Background = Background("models")

    @property
    def ready(self) -> bool:
        """Whether the checkpoint before has been sent."""
        return not self._sending.busy

    def publish(self, prepare: Prepare) -> None:
        """Begin to make and send a checkpoint.

        Raises:
            BrokerError: the one before could not be sent.
        """
        self._sending.start(partial(self._send, prepare))

    def wait(self, timeout_s: float) -> bool:
        """Wait until the last checkpoint is sent; False if that takes longer.

        Raises:
            BrokerError: it could not be sent.
        """
        return self._sending.wait(timeout_s)

    def _send(self, prepare: Prepare) -> None:
        manifest, payload = prepare()
        *chunks, mark = checkpoint.chunk(manifest, payload)
        _acknowledged([self._producer.send(self._topic, c.value, c.key, c.headers) for c in chunks])
        stamp = (trace.HEADER, codec.encode(Trace(published=self._clock())))
        _acknowledged([self._producer.send(self._topic, mark.value, mark.key, [*mark.headers, stamp])])
        logger.info(
            "published %s/%s: %d bytes in %d chunks, %d examples seen",
            manifest.model,
            manifest.version,
            manifest.bytes,
            manifest.chunks,
            manifest.examples_seen,
        )


class EvaluationSink:
    """Sends evaluation records; nothing waits for them, and a failure is only logged."""

    def __init__(self, producer: KafkaProducer, prefix: str) -> None:
        self._producer = producer
        self._topic = prefix + topics.EVALUATIONS.name

    def record(self, evaluation: Evaluation) -> None:
        """Send one record."""
        sent = self._producer.send(self._topic, codec.encode(evaluation), evaluation.name.encode())
        sent.add_errback(partial(logger.warning, "evaluation %s not sent: %r", evaluation.name))


def _acknowledged(sent: Iterable[Any], timeout_s: float = SEND_S) -> None:
    try:
        for future in sent:
            future.get(timeout=timeout_s)
    except KafkaError as error:
        raise BrokerError(f"send: expected an acknowledgement, got {error!r}") from error


def _receive(message: Message) -> Received:
    headers = dict(message.headers)
    slate = codec.decode(LabeledSlate, message.value or b"", schema_of(headers))
    return Received(slate, _trace(headers), message.partition, message.offset)


def _trace(headers: Mapping[str, bytes]) -> Trace:
    """The stamps so far; a damaged header costs a measurement and not the label."""
    try:
        return msgspec.json.decode(headers.get(trace.HEADER) or b"{}", type=Trace)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Trace()


def _log_commit(_offsets: object, response: object) -> None:
    if isinstance(response, Exception):
        logger.warning("offsets not committed, lag will look larger than it is: %r", response)
