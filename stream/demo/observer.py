"""SHELL: watches a running loop through its topics, on a thread of its own."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition

from schemas.access import client_options
from schemas.codec import decode
from schemas.evaluation import Evaluation
from schemas.recommendation import Recommendation
from schemas.topics import EVALUATIONS, LABELS, MODELS, RECOMMENDATIONS, USER_EVENTS, Topic
from schemas.trace import HEADER, Trace
from stream.administration import partitions_of
from stream.demo.measurements import Measurements
from stream.settings import Settings

COUNT_EVERY_S: Final = 1.0
LOOK_EVERY_S: Final = 0.1


class Observer:
    """Fills `seen` from the moment it is started, as a context manager.

    Answers, checkpoints and metrics are read; events and labels are only counted, by the ends of their logs.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.seen = Measurements()
        self._settings = settings
        self._clock = clock
        self._began = clock()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._fold: dict[str, Callable[[float, Any], None]] = {
            settings.prefix + RECOMMENDATIONS.name: self._answer,
            settings.prefix + MODELS.name: self._model,
            settings.prefix + EVALUATIONS.name: self._metric,
        }

    def check(self) -> None:
        """Raise the error that ended the thread, if one did."""
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> "Observer":
        self._began = self._clock()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = KafkaConsumer(**client_options(self._settings), allow_auto_create_topics=False)
        try:
            self._watch(consumer)
        except Exception as error:  # whatever it is, the main thread has to know
            self._failure = error
        finally:
            consumer.close(timeout_ms=1_000)

    def _watch(self, consumer: KafkaConsumer) -> None:
        read = self._partitions((RECOMMENDATIONS, MODELS, EVALUATIONS))
        consumer.assign(read)
        consumer.seek_to_beginning(*read)
        counted = self._clock()
        while not self._stop.is_set():
            for messages in consumer.poll(timeout_ms=0).values():
                for message in messages:
                    self._fold[message.topic](self._clock() - self._began, message)
            if self._clock() - counted >= COUNT_EVERY_S:
                counted = self._clock()
                self._count(consumer)
            # Waited here and not in `poll`, which would ask the broker again and again meanwhile.
            self._stop.wait(LOOK_EVERY_S)

    def _count(self, consumer: KafkaConsumer) -> None:
        events = self._length(consumer, USER_EVENTS)
        self.seen.count(self._clock() - self._began, events, self._length(consumer, (LABELS,)))

    def _length(self, consumer: KafkaConsumer, topics: Sequence[Topic]) -> int:
        return sum(consumer.end_offsets(self._partitions(topics)).values())

    def _partitions(self, topics: Sequence[Topic]) -> list[TopicPartition]:
        return [
            TopicPartition(self._settings.prefix + topic.name, number)
            for topic in topics
            for number in range(partitions_of(topic, self._settings))
        ]

    def _answer(self, second: float, message: Any) -> None:
        self.seen.serve(second, decode(Recommendation, message.value), _trace(message.headers))

    def _model(self, second: float, message: Any) -> None:  # noqa: ARG002
        # The manifest, last record of a checkpoint, is the one that says when it was published.
        if _trace(message.headers).published is not None:
            self.seen.published += 1

    def _metric(self, second: float, message: Any) -> None:
        self.seen.evaluate(second, decode(Evaluation, message.value))


def _trace(headers: Sequence[tuple[str, bytes]]) -> Trace:
    found: Mapping[str, bytes] = dict(headers)
    return decode(Trace, found[HEADER]) if HEADER in found else Trace()
