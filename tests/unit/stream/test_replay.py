from typing import Any

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from kafka.future import Future

from schemas.errors import BrokerError
from schemas.events import Click, Item
from stream.replay import at_rate, at_speed, replay, unpaced


class FakeClock:
    """Seconds that pass only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


class FakeProducer:
    """Takes messages with the time they came; the broker refuses the one numbered `refused`."""

    def __init__(self, clock: FakeClock, refused: int | None = None, error: KafkaError | None = None) -> None:
        self.sent: list[tuple[float, str, bytes]] = []
        self.flushed = 0
        self._clock = clock
        self._refused = refused
        self._error = error
        self._futures: list[Future] = []

    def send(self, topic: str, *, value: bytes, key: bytes, headers: list[tuple[str, bytes]]) -> Any:
        self.sent.append((self._clock.now, topic, key))
        self._futures.append(Future())
        return self._futures[-1]

    def flush(self, timeout: float | None = None) -> None:
        for number, future in enumerate(self._futures[self.flushed :], start=self.flushed):
            if number == self._refused:
                future.failure(self._error)
            else:
                future.success(None)
        self.flushed = len(self._futures)


def click(ts: int) -> Click:
    return Click(event_id=f"c{ts}", request_id="r", user_id="u", item_id="x", ts=ts)


def test_a_speed_keeps_the_gaps_and_shortens_them() -> None:
    clock = FakeClock()
    producer = FakeProducer(clock)
    sent = replay([click(5_000), click(6_000), click(9_000)], producer, at_speed(10.0), clock=clock)
    assert [when for when, _, _ in producer.sent] == pytest.approx([0.0, 0.1, 0.4])
    assert sent.seconds == pytest.approx(0.4)


def test_a_rate_ignores_the_gaps() -> None:
    clock = FakeClock()
    producer = FakeProducer(clock)
    replay([click(5_000), click(6_000), click(9_000)], producer, at_rate(4.0), clock=clock)
    assert [when for when, _, _ in producer.sent] == pytest.approx([0.0, 0.25, 0.5])


def test_without_a_pace_nothing_waits() -> None:
    clock = FakeClock()
    replay([click(0), click(10**9)], FakeProducer(clock), unpaced, clock=clock)
    assert clock.now == 0.0


def test_items_are_keyed_by_item_and_events_by_user() -> None:
    producer = FakeProducer(FakeClock())
    replay([Item(item_id="x", ts=1, title="X"), click(2)], producer, prefix="p.")
    assert [(topic, key) for _, topic, key in producer.sent] == [("p.items", b"x"), ("p.clicks", b"u")]


def test_progress_is_told_of_every_record() -> None:
    ticks: list[None] = []
    sent = replay([click(1), click(2)], FakeProducer(FakeClock()), on_progress=lambda: ticks.append(None))
    assert len(ticks) == sent.total == 2


def test_an_empty_log_replays_to_nothing() -> None:
    sent = replay([], FakeProducer(FakeClock()))
    assert (sent.total, sent.first_ts, sent.last_ts) == (0, None, None)


def test_what_is_buffered_stays_bounded() -> None:
    clock = FakeClock()
    producer = FakeProducer(clock)
    pending = []

    def watch() -> None:
        pending.append(len(producer.sent) - producer.flushed)

    replay((click(ts) for ts in range(25_000)), producer, on_progress=watch, clock=clock)
    assert max(pending) <= 10_000
    assert producer.flushed == 25_000


@pytest.mark.parametrize("error", [KafkaTimeoutError("late"), MessageSizeTooLargeError("large")])
def test_a_message_that_is_not_delivered_is_an_error(error: KafkaError) -> None:
    producer = FakeProducer(FakeClock(), refused=1, error=error)
    with pytest.raises(BrokerError, match=r"clicks: expected the broker to take the message, got Kafka|Mess"):
        replay([click(1), click(2), click(3)], producer)
