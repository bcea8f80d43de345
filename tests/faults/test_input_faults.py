"""Poison, clocks that are wrong, repetition and disorder, under load: the neighbours do not notice."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest

from schemas.codec import MAX_BYTES, encode
from schemas.events import Click, Impression, Search, UserEvent
from schemas.topics import DEAD_LETTERS
from schemas.trace import LOGGED_AT
from stream.deadletters import refusal
from stream.replay import open_producer
from tests.faults.conftest import Site, eventually
from tests.faults.expected import finals, labels_sent, read_topic
from tests.faults.load import Message, as_it_is, happenings, playing
from tests.synthetic import World, log, topic_of

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(300)]

SECONDS, SLATES_PER_SECOND = 20, 80
BLOB_BYTES = 900_000
READ_S = 10.0
"""For the worker to read what was sent, before time leaps."""


def _with(**fields: object) -> Callable[[bytes, random.Random], bytes]:
    return lambda value, _: json.dumps({**json.loads(value), **fields}).encode()


def _fuzzed(value: bytes, rng: random.Random) -> bytes:
    """Bytes that are no JSON any more, whatever they hit."""
    spoilt = bytearray(value)
    for place in rng.sample(range(1, len(spoilt)), 8):
        spoilt[place] = rng.randrange(256)
    return b"\xff" + bytes(spoilt)


def _without(name: str) -> Callable[[bytes, random.Random], bytes]:
    def cut(value: bytes, _: random.Random) -> bytes:
        record = json.loads(value)
        del record[name]
        return json.dumps(record).encode()

    return cut


POISONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "fuzzed": _fuzzed,
    "nothing": lambda *_: b"",
    "null": lambda *_: b"null",
    "a list": lambda *_: b"[]",
    "a string": lambda *_: b'"click"',
    "a number": lambda *_: b"1e309",
    "cut in half": lambda value, _: value[: len(value) // 2],
    "half a character": lambda *_: b'{"user_id":"\xc3',
    "latin-1": lambda *_: '{"user_id":"é"}'.encode("latin-1"),
    "NaN": lambda value, _: value.replace(b'"ts":', b'"ts":NaN,"was":'),
    "infinite": lambda value, _: value.replace(b'"ts":', b'"ts":-Infinity,"was":'),
    "a huge id": _with(user_id="u" * 5_000),
    "an id of nothing": _with(user_id=""),
    "an id that is a number": _with(user_id=7),
    "no user": _without("user_id"),
    "no time": _without("ts"),
    "time as text": _with(ts="yesterday"),
    "time before all": _with(ts=-1),
    "deep": lambda *_: b'{"a":' * 50_000,
    "a blob": lambda *_: b"\x00" * BLOB_BYTES,
}


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
    assert len(poisoned) == len(POISONS), "every kind was sent"
    site.settle(worker)
    letters = [
        refusal(message.value or b"", dict(message.headers))
        for message in read_topic(site.settings, DEAD_LETTERS.name)
    ]
    assert None not in letters
    places = Counter(letter.place for letter in letters if letter)
    assert len(places) == sum(poisoned.values())
    assert set(places.values()) == {1}, "one dead letter each"
    assert all(letter.size <= MAX_BYTES for letter in letters if letter)


def test_clocks_are_wrong_by_up_to_ten_minutes(site: Site, planted: World) -> None:
    """Some devices are fast, some slow. Nobody's clock hurts the others, and no exposure or click is lost.

    An hour passes within seconds here: the time of logging, which is right, travels in a header.
    """
    skew = {user: random.Random(user).choice([-1, 0, 1]) * 590_000 for user in planted.likes}
    events = log(planted, n_slates=1_500, slate_size=5, seed=5)
    site.settings = replace(site.settings, window_s=600.0, lateness_s=10.0)
    worker = site.start_worker()
    with open_producer(site.settings) as producer:
        for event in events:
            told = msgspec.structs.replace(event, ts=event.ts + skew[event.user_id])
            headers = [(LOGGED_AT, b"%d" % event.ts)]
            producer.send(site.topic(topic_of(event)), encode(told), event.user_id.encode(), headers)
        producer.flush(timeout=60)
        time.sleep(READ_S)
        for user in planted.likes:  # an hour later somebody of each partition is still there
            late = Search(event_id=f"late-{user}", user_id=user, ts=events[-1].ts + 3_600_000, query="x")
            headers = [(LOGGED_AT, b"%d" % late.ts)]
            producer.send(site.topic("searches"), encode(late), user.encode(), headers)
        producer.flush(timeout=60)
    shown = {
        (event.request_id, item.item_id)
        for event in events
        if isinstance(event, Impression)
        for item in event.items
    }
    eventually(lambda: finals(labels_sent(site.settings).values()).keys() >= shown, worker, "final labels")
    labels = labels_sent(site.settings).values()
    assert finals(labels) == Counter(dict.fromkeys(shown, 1))
    clicked = {(label.request_id, it.item_id) for label in labels for it in label.outcomes if it.clicked}
    assert clicked == {(event.request_id, event.item_id) for event in events if isinstance(event, Click)}


def test_everything_comes_three_times_and_out_of_order(site: Site, planted: World) -> None:
    rng, held = random.Random(1), list[Message]()

    def shuffled(event: UserEvent) -> Sequence[Message]:
        """Each message three times, each time among the fifty that are waiting: within the lateness."""
        held.extend(3 * as_it_is(event))
        rng.shuffle(held)
        sent, held[:] = held[: max(0, len(held) - 50)], held[-50:]
        return sent

    worker = site.start_worker()
    events = happenings(planted, SECONDS, SLATES_PER_SECOND)
    with playing(site.settings, site.settings.prefix, events, shuffled) as load:
        load.wait(SECONDS)
        load.add(held)
    due = site.settle(worker)
    assert len({label.request_id for label in due.values()}) > SECONDS * SLATES_PER_SECOND / 2
