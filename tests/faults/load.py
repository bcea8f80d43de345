"""A steady load on real time: what a planted world's users do, sent as it happens by a thread of its own."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.access import Access, client_options
from schemas.codec import encode
from schemas.events import UserEvent
from tests.synthetic import START_TS, Habits, World, log, topic_of

RETRY_S = 120.0
"""How long a message may take to arrive: longer than any outage of this suite."""

Message = tuple[str, bytes, bytes]
"""Topic without prefix, key, value."""


class Load:
    """Sends until it is told to stop; its event time is the wall clock, from the moment it starts.

    `spoil` makes messages of an event: the event alone, or others beside it, or the event out of turn.
    """

    def __init__(self, access: Access, prefix: str, spoil: Callable[[UserEvent], Sequence[Message]]) -> None:
        # Idempotent, so that what is sent again after an outage neither repeats nor overtakes.
        self._producer = KafkaProducer(
            **client_options(access),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            delivery_timeout_ms=int(RETRY_S * 1000),
            max_block_ms=int(RETRY_S * 1000),
            reconnect_backoff_max_ms=500,
            max_request_size=2_000_000,
        )
        self._prefix = prefix
        self._spoil = spoil
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.sent: list[UserEvent] = []
        self.failures: list[BaseException] = []

    def play(self, events: Sequence[UserEvent]) -> None:
        """Begin to send `events`, each when it is due."""
        self._events = events
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Let it go on for a while; fails if it has ended, for whatever reason."""
        time.sleep(seconds)
        assert self._thread.is_alive(), f"the load ended by itself: {self.failures[:1]}"

    def add(self, messages: Sequence[Message]) -> None:
        """Send some more, now; the last thing that is done before the load is stopped."""
        self._stop.set()
        self._thread.join()
        for message in messages:
            self._send(*message)

    def stop(self) -> None:
        """Send no more, and wait until all that was sent has arrived."""
        self._stop.set()
        self._thread.join()
        try:
            self._producer.flush(timeout=RETRY_S)
        finally:
            self._producer.close(timeout=5)
        assert not self.failures, self.failures[0]

    def _run(self) -> None:
        started_ms = time.time_ns() // 1_000_000
        for event in self._events:
            due = event.ts - START_TS + started_ms
            if self._stop.wait(max(0.0, due / 1000 - time.time())):
                return
            timed = msgspec.structs.replace(event, ts=due)
            for message in self._spoil(timed):
                self._send(*message)
            self.sent.append(timed)

    def _send(self, topic: str, key: bytes, value: bytes) -> None:
        try:
            sent = self._producer.send(self._prefix + topic, value=value, key=key)
            sent.add_errback(self.failures.append)
        except KafkaError as error:
            self.failures.append(error)


def as_it_is(event: UserEvent) -> list[Message]:
    """One message of an event."""
    return [(topic_of(event), event.user_id.encode(), encode(event))]


def happenings(world: World, seconds: float, slates_per_second: float, seed: int = 0) -> list[UserEvent]:
    """What the world's users see and do for so long; clicks follow quickly, as windows are short here."""
    habits = Habits(
        click_delay=400.0, dwell_liked=600.0, dwell_other=100.0, between_slates=1_000 / slates_per_second
    )
    return log(world, n_slates=int(seconds * slates_per_second), slate_size=5, seed=seed, habits=habits)


@contextmanager
def playing(
    access: Access,
    prefix: str,
    events: Sequence[UserEvent],
    spoil: Callable[[UserEvent], Sequence[Message]] = as_it_is,
) -> Iterator[Load]:
    """Send events while the block runs; all have arrived when it ends."""
    load = Load(access, prefix, spoil)
    load.play(events)
    try:
        yield load
    finally:
        load.stop()
