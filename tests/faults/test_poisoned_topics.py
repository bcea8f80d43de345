"""Poison on every topic, not of user events alone: each message is refused once, and nobody minds."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import pytest

from schemas.codec import decode, encode
from schemas.evaluation import Evaluation
from schemas.events import Click, Erasure, Item, Search
from schemas.labels import LabeledSlate, Outcome, Session
from schemas.recommendation import MAX_K, Recommendation, RecommendationRequest
from schemas.record import Record
from schemas.topics import (
    CLICKS,
    DEAD_LETTERS,
    ERASURES,
    EVALUATIONS,
    ITEMS,
    LABELS,
    MODELS,
    RECOMMENDATIONS,
    REQUESTS,
    SEARCHES,
)
from stream.deadletters import Refusal
from stream.replay import open_producer
from stream.storage import Store
from tests.cluster import now_ms
from tests.e2e.conftest import Past
from tests.faults.conftest import Site, eventually, gauge
from tests.faults.expected import read_topic, refusals
from tests.faults.learned import assert_learned_once
from tests.faults.load import happenings, playing
from tests.faults.poison import FILLING, ODD_HEADERS, POISONED_HEADERS, POISONS, RECORDLESS, Headers
from tests.processes import Worker
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

MANY = 10_000
TESTED = "tested"
"""The model of which the good evaluations tell."""


def item(number: int) -> Item:
    return Item(item_id=f"new-{number}", ts=now_ms(), title="swing quartet")


def erasure(number: int) -> Erasure:
    return Erasure(event_id=f"erasure-{number}", user_id=f"gone-{number}", ts=now_ms())


def request(number: int) -> RecommendationRequest:
    return RecommendationRequest(request_id=f"asked-{number}", user_id=f"asks-{number}", ts=now_ms(), k=5)


def label(number: int) -> LabeledSlate:
    ids = {"request_id": f"never-{number}", "user_id": f"nobody-{number}"}
    outcomes = [Outcome(item_id="item-1", position=0, clicked=True)]
    times = {"ts": now_ms(), "observed_ts": now_ms()}
    return LabeledSlate(**ids, **times, revision=0, session=Session(), slate=["item-1"], outcomes=outcomes)


def click(number: int) -> Click:
    ids = {"event_id": f"click-{number}", "request_id": f"never-{number}", "user_id": f"nobody-{number}"}
    return Click(**ids, item_id="item-1", ts=now_ms())


def search(number: int) -> Search:
    return Search(event_id=f"search-{number}", user_id=f"seeks-{number}", ts=now_ms(), query="swing")


def evaluation(number: int) -> Evaluation:
    times = {"window_start": number, "window_end": number}
    return Evaluation(name="test", value=0.5, count=1, model_version=TESTED, **times)


Make = Callable[[int], Record]

POISONED: dict[str, tuple[Make, tuple[str, ...]]] = {
    ITEMS.name: (item, tuple(POISONS)),
    ERASURES.name: (erasure, tuple(POISONS)),
    REQUESTS.name: (request, tuple(POISONS)),
    LABELS.name: (label, tuple(POISONS)),
    EVALUATIONS.name: (evaluation, RECORDLESS),
    CLICKS.name: (click, ()),
}
"""Topic → its records, and the kinds of poison for them; poisoned headers come to all."""

BLESSED: dict[str, Make] = {
    ITEMS.name: item,
    ERASURES.name: erasure,
    REQUESTS.name: request,
    SEARCHES.name: search,
    EVALUATIONS.name: evaluation,
}
"""Topic → its records, of which good ones are sent besides."""


class Sending(NamedTuple):
    """A message, to a topic without prefix."""

    topic: str
    value: bytes
    headers: Headers = []
    key: bytes = b"u"


def poisoned() -> Iterator[Sending]:
    """Every kind of message that is to be refused."""
    rng, blob = random.Random(0), POISONS["a blob"]
    for topic, (make, kinds) in POISONED.items():
        for number, kind in enumerate(kinds):
            yield Sending(topic, POISONS[kind](encode(make(number)), rng))
        for headers in POISONED_HEADERS.values():
            yield Sending(topic, encode(make(MANY)), headers)
        yield Sending(topic, blob(b"", rng), FILLING)
        yield Sending(topic, b"?", key=b"k" * 1_000_000)


def blessed() -> Iterator[Sending]:
    """Messages that are good, whatever their headers say."""
    for number, headers in enumerate([[], *ODD_HEADERS.values()]):
        for topic, make in BLESSED.items():
            yield Sending(topic, encode(make(number)), headers)


def ours() -> Iterator[Sending]:
    """What nobody but ourselves has to write, and is no dead letter's matter."""
    rng = random.Random(0)
    for number, kind in enumerate(RECORDLESS):
        poison = POISONS[kind](encode(evaluation(number)), rng)
        yield Sending(MODELS.name, poison, [("kind", b"manifest")], b"default/x/manifest")
        yield Sending(MODELS.name, poison, key=b"default/x/" + b"9" * 5_000)
        yield Sending(MODELS.name, poison)
        yield Sending(DEAD_LETTERS.name, poison, [("topic", b"\xff"), ("offset", b"9" * 5_000)])
    huge = {"partition": b"9" * 18, "offset": b"9" * 18, "reason": b"\0" * 300, "detail": b"\0"}
    yield Sending(DEAD_LETTERS.name, b"", [("topic", b"\0" * 300), *huge.items()])
    count = b'{"name":"n","value":1,"count":%d,"model_version":null,"window_start":0,"window_end":1}'
    yield Sending(EVALUATIONS.name, count % 10**30)


def test_poison_on_every_topic(site: Site, planted: World, past: Past) -> None:
    roles = ("label", "score", "evaluate")
    site.settings = replace(site.settings, roles=roles, base=str(past.base))
    worker, learner = site.start_loop(past.base, FRESHRANK_SNAPSHOT_S="2")
    bad, good = list(poisoned()), list(blessed())
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 15)) as load:
        load.wait(3.0)
        send(site, [*bad, *good, *ours()])
        load.wait(5.0)
    site.settle(worker)
    eventually(lambda: len(letters(site)) >= len(bad), worker, "every letter")
    refused = Counter(letter.topic for letter in letters(site))
    assert refused == Counter(sending.topic for sending in bad)
    assert len({letter.place for letter in letters(site)}) == len(bad), "one dead letter each"
    assert gauge(worker, "freshrank_dead_letters_total") == len(bad) - refused[LABELS.name]
    said = Counter(re.findall(r"(labels|items) \d+@\d+ refused: ", learner.output()))
    assert said == {name: refused[name] for name in (LABELS.name, ITEMS.name)}

    numbers = range(1 + len(ODD_HEADERS))
    eventually(lambda: answered(site) == {request(n).request_id for n in numbers}, worker, "every answer")
    eventually(lambda: offered(worker) == {item(n).item_id for n in numbers}, worker, "the new items")
    assert worker.output().count("a user was erased") == len(numbers)
    with closing(Store(site.settings.database_url)) as store:
        eventually(lambda: set(letters(site)) <= set(store.refusals(MANY)), worker, "every letter's row")
        eventually(
            lambda: len(store.evaluations_of(TESTED)) == len(numbers), worker, "every evaluation's row"
        )
    assert_learned_once(site, learner, past.base)


def send(site: Site, sendings: Sequence[Sending]) -> None:
    """All at once, and mixed."""
    mixed = random.Random(1).sample(sendings, len(sendings))
    with open_producer(site.settings) as producer:
        for sending in mixed:
            producer.send(site.topic(sending.topic), sending.value, sending.key, sending.headers)
        producer.flush(timeout=60)


def letters(site: Site) -> list[Refusal]:
    """What was refused of what is poisoned here."""
    return [letter for letter in refusals(site.settings) if letter.topic in POISONED]


def answered(site: Site) -> set[str]:
    """The requests that were answered; nobody asks for a refresh."""
    answers = [
        decode(Recommendation, message.value or b"")
        for message in read_topic(site.settings, RECOMMENDATIONS.name)
    ]
    return {answer.request_id for answer in answers if not answer.request_id.startswith("refresh:")}


def offered(worker: Worker) -> set[str]:
    """Items that the worker has to choose from."""
    status, body = worker.get(f"/recommendations/somebody?k={MAX_K}")
    assert status == 200, body
    return {item.item_id for item in decode(Recommendation, body).items}
