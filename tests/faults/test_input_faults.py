"""Poison, clocks that are wrong, repetition and disorder, under load: the neighbours do not notice."""

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from itertools import count

import msgspec
import pytest
from click.testing import CliRunner

from schemas.codec import MAX_BYTES, encode
from schemas.environment import to_env
from schemas.events import Click, Dwell, Feedback, Impression, Search, UserEvent
from schemas.trace import LOGGED_AT
from stream.cli import main
from stream.deadletters import Refusal
from stream.replay import open_producer
from stream.settings import Settings
from tests.faults.conftest import Site, eventually, gauge
from tests.faults.expected import assert_same, finals, labels_due, labels_sent, refusals
from tests.faults.load import Message, as_it_is, happenings, playing
from tests.faults.poison import BLOB_BYTES, POISONS
from tests.synthetic import World, log, topic_of

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

SECONDS, SLATES_PER_SECOND = 20, 80


def test_one_message_in_a_hundred_is_poison(site: Site, planted: World) -> None:
    rng, poisoned = random.Random(0), Counter[str]()
    kinds = list(POISONS)

    def spoil(event: UserEvent) -> Sequence[Message]:
        whole = as_it_is(event)
        if rng.random() >= 0.01:
            return whole
        kind = kinds[sum(poisoned.values()) % len(kinds)]
        poisoned[kind] += 1
        return [(topic_of(event), event.user_id.encode(), POISONS[kind](encode(event), rng)), *whole]

    worker = site.start_worker()
    with playing(site.settings, site.settings.prefix, happenings(planted, 30, 120), spoil) as load:
        while len(load.sent) < 2_500:
            assert worker.is_alive(), worker.tail()
            load.wait(0.5)
    assert poisoned.keys() == POISONS.keys(), "every kind was sent"
    site.settle(worker)
    letters = refusals(site.settings)
    assert len(letters) == sum(poisoned.values())
    assert len({letter.place for letter in letters}) == len(letters), "one dead letter each"
    assert all(letter.size <= MAX_BYTES for letter in letters)
    assert sum(letter.size == BLOB_BYTES for letter in letters) == poisoned["a blob"]
    assert gauge(worker, "freshrank_dead_letters_total") == len(letters)
    assert_tool_works(site, worker_reads=letters)


def assert_tool_works(site: Site, worker_reads: Sequence[Refusal]) -> None:
    """`freshrank dead-letters` lists them all, shows one, and sends it again: it is refused again, once."""
    listed = dead_letters(site.settings, "list", "--limit", "10000")
    told = {name: int(number) for name, number in re.findall(r"^(\w+): (\d+)$", listed, re.MULTILINE)}
    assert told == Counter(letter.reason for letter in worker_reads)
    assert all(letter.place in listed for letter in worker_reads)

    wrong = next(letter for letter in worker_reads if letter.reason == "invalid")
    blob = next(letter for letter in worker_reads if letter.size == BLOB_BYTES)
    assert wrong.reason in dead_letters(site.settings, "show", wrong.place)
    assert f"{BLOB_BYTES:,} bytes" in dead_letters(site.settings, "show", blob.place)

    assert "2 sent again; 0 were cut" in dead_letters(site.settings, "replay", wrong.place, blob.place)
    deadline = time.monotonic() + 30.0
    while len(again := refusals(site.settings)) < len(worker_reads) + 2:
        assert time.monotonic() < deadline, (
            f"expected two more letters than {len(worker_reads)}, got {len(again)}"
        )
        time.sleep(0.5)
    new = {letter.place: letter for letter in again if letter not in worker_reads}
    assert sorted(letter.reason for letter in new.values()) == sorted([wrong.reason, blob.reason])


def dead_letters(settings: Settings, *words: str) -> str:
    """What `freshrank dead-letters` prints."""
    ran = CliRunner().invoke(main, ["dead-letters", *words], env={**to_env(settings), "COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    return ran.output


Clock = Callable[[UserEvent], int]
"""By how many ms the clock is wrong with which an event is stamped."""


def wrong_by_user(event: UserEvent) -> int:
    """A third of the devices are slow, a third are right, and a third are fast."""
    return random.Random(event.user_id).choice([-1, 0, 1]) * 590_000


def wrong_by_event(event: UserEvent) -> int:
    """A third of the users have clocks that are right; of the others every event comes by another one."""
    if wrong_by_user(event) == 0:
        return 0
    return random.Random(event.event_id).randint(-590_000, 590_000)


@pytest.mark.parametrize("wrong", [wrong_by_user, wrong_by_event])
def test_clocks_are_wrong_by_up_to_ten_minutes(site: Site, planted: World, wrong: Clock) -> None:
    """Nobody's clock hurts the others, every exposure gets its label, and no click is lost unseen.

    An hour passes within seconds here: the time of logging, which is right, travels in a header.
    """
    site.settings = replace(site.settings, window_s=600.0, lateness_s=10.0)
    events = log(planted, n_slates=1_500, slate_size=5, seed=5)
    stamped = [msgspec.structs.replace(event, ts=event.ts + wrong(event)) for event in events]
    with open_producer(site.settings) as producer:
        for event, told in zip(events, stamped, strict=True):
            headers = [(LOGGED_AT, b"%d" % event.ts)]
            producer.send(site.topic(topic_of(event)), encode(told), event.user_id.encode(), headers)
        producer.flush(timeout=60)
        worker = site.start_worker()  # now: a topic may seem to have ended while it is filled so fast
        read = partial(gauge, worker, "freshrank_events_total")
        eventually(lambda: read() >= len(events), worker, "everything read, before time leaps")
        for user in planted.likes:  # an hour later somebody of each partition is still there
            late = Search(event_id=f"late-{user}", user_id=user, ts=events[-1].ts + 3_600_000, query="x")
            headers = [(LOGGED_AT, b"%d" % late.ts)]
            producer.send(site.topic("searches"), encode(late), user.encode(), headers)
        producer.flush(timeout=60)
    shown = exposures(events)
    eventually(lambda: finals(labels_sent(site.settings).values()).keys() >= shown, worker, "final labels")
    sent = labels_sent(site.settings)
    assert finals(sent.values()) == Counter(dict.fromkeys(shown, 1))
    early, joined = apart(stamped, int(site.settings.window_s * 1000))
    clicked = {
        (label.request_id, it.item_id) for label in sent.values() for it in label.outcomes if it.clicked
    }
    assert clicked == {(event.request_id, event.item_id) for event in joined if isinstance(event, Click)}
    eventually(
        lambda: gauge(worker, "freshrank_orphans") == len(early), worker, "a count of what was too early"
    )
    right = {event.user_id for event in events if wrong_by_user(event) == 0}
    due = labels_due(site.settings, site.settings.join)
    assert_same(*({key: it for key, it in labels.items() if it.user_id in right} for labels in (sent, due)))


def exposures(events: Sequence[UserEvent]) -> set[tuple[str, str]]:
    """Slate and item of all that was shown."""
    slates = (event for event in events if isinstance(event, Impression))
    return {(slate.request_id, item.item_id) for slate in slates for item in slate.items}


Engaged = Click | Dwell | Feedback


def apart(events: Sequence[UserEvent], window_ms: int) -> tuple[list[Engaged], list[Engaged]]:
    """What was done, by its stamp, a window or more before its slate was shown, and all else: the label's."""
    shown = {event.request_id: event.ts for event in events if isinstance(event, Impression)}
    early: list[Engaged] = []
    joined: list[Engaged] = []
    for event in events:
        if isinstance(event, Engaged) and event.request_id is not None:
            (early if event.ts <= shown[event.request_id] - window_ms else joined).append(event)
    return early, joined


class Disorder:
    """Sends each message three times, each at another moment within so many ms after the event."""

    def __init__(self, most_ms: int) -> None:
        self._rng = random.Random(1)
        self._most_ms = most_ms
        self._held: list[tuple[int, int, Message]] = []
        self._number = count()

    def spoil(self, event: UserEvent) -> list[Message]:
        """What is due by now; an event is held until another one comes."""
        for message in 3 * as_it_is(event):
            at = event.ts + self._rng.randrange(self._most_ms)
            heappush(self._held, (at, next(self._number), message))
        return self.before(event.ts)

    def before(self, ts: float) -> list[Message]:
        """What is due before a moment, in order of these."""
        due = []
        while self._held and self._held[0][0] < ts:
            due.append(heappop(self._held)[2])
        return due


def test_everything_comes_three_times_and_out_of_order(site: Site, planted: World) -> None:
    """By nearly as much as the lateness."""
    site.settings = replace(site.settings, window_s=5.0, lateness_s=4.0)
    disorder = Disorder(most_ms=3_000)
    worker = site.start_worker()
    events = happenings(planted, SECONDS, SLATES_PER_SECOND)
    with playing(site.settings, site.settings.prefix, events, disorder.spoil) as load:
        load.wait(SECONDS)
        load.add(disorder.before(float("inf")))
    due = site.settle(worker)
    assert len({label.request_id for label in due.values()}) > SECONDS * SLATES_PER_SECOND / 2
