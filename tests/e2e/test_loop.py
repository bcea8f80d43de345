"""A new user's clicks change what the loop says to them, by a model that learned them."""

import uuid
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

from schemas.codec import decode, encode
from schemas.events import Click, Impression, ShownItem, UserEvent
from schemas.recommendation import Recommendation, RecommendationRequest
from schemas.trace import HEADER, Trace
from tests.cluster import PATIENCE_S, now_ms
from tests.e2e.conftest import Loop, Past
from tests.synthetic import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NEW, KIND, CLICKS = "somebody-new", "jazz", 3


def visit(user_id: str, shown: list[str], clicked: list[str]) -> Iterator[UserEvent]:
    """A slate that is seen now, and clicks in it."""
    request_id, now = uuid.uuid4().hex, now_ms()
    items = [ShownItem(item_id=item_id, position=place) for place, item_id in enumerate(shown)]
    of = {"request_id": request_id, "user_id": user_id}
    yield Impression(event_id=f"i-{request_id}", ts=now, items=items, surface="home", **of)
    for number, item_id in enumerate(clicked, start=1):
        yield Click(event_id=f"c-{request_id}-{item_id}", ts=now + number, item_id=item_id, **of)


def browse(world: World, rng: np.random.Generator) -> Iterator[UserEvent]:
    """Other users go on as ever, so that there is a serving version."""
    for user_id, kind in world.likes.items():
        shown = [world.items[index].item_id for index in rng.choice(len(world.items), 6, replace=False)]
        yield from visit(user_id, shown, [item_id for item_id in shown if world.kind_of[item_id] == kind])


def ask(loop: Loop, world: World) -> Recommendation:
    """The whole catalogue, ranked for the new user."""
    request = RecommendationRequest(
        request_id=uuid.uuid4().hex,
        user_id=NEW,
        ts=now_ms(),
        k=len(world.items),
        candidates=[item.item_id for item in world.items],
        surface="home",
    )
    loop.cluster.send("recommendation-requests", encode(request), NEW.encode())
    return loop.cluster.answer(request.request_id)


def mean_rank(answer: Recommendation, item_ids: list[str]) -> float:
    """Mean rank, from 1, by score: the order of the answer also explores."""
    ranked = [item.item_id for item in sorted(answer.items, key=lambda item: -item.score)]
    return float(np.mean([1 + ranked.index(item_id) for item_id in item_ids]))


def served(loop: Loop, world: World) -> Recommendation:
    """An answer by a model, once one serves."""
    rng, answers = np.random.default_rng(0), []

    def look() -> bool:
        loop.send(*browse(world, rng))
        answers.append(ask(loop, world))
        return answers[-1].model_version is not None

    loop.cluster.worker.until(look, PATIENCE_S, "a model that serves")
    return answers[-1]


def test_three_clicks_of_a_new_user_lift_unseen_items_of_that_kind(loop: Loop, past: Past) -> None:
    world = past.world
    clicked, unseen = world.of_kind(KIND)[:CLICKS], world.of_kind(KIND)[CLICKS:]
    others = list(islice((i for i, kind in world.kind_of.items() if kind != KIND), CLICKS))
    before = served(loop, world)
    page = loop.cluster.worker.get_json(f"/recommendations/{NEW}?k=10")
    in_page_before = {item["item_id"] for item in page["items"]}

    loop.send(*visit(NEW, [*clicked, *others], clicked))
    refreshed = refresh_of(loop, NEW)
    assert refreshed.model_version not in (None, before.model_version)

    def is_lifted() -> bool:
        """The refresh may be by a version that learned the first of the clicks alone."""
        return mean_rank(ask(loop, world), unseen) < mean_rank(before, unseen) - len(world.items) / 10

    loop.cluster.worker.until(is_lifted, PATIENCE_S, "unseen items of the clicked kind to be lifted")
    traced = whole_traces(loop.cluster.read("recommendations", whole_traces))
    assert all(stamps == sorted(stamps) for stamps in traced)

    page = loop.cluster.worker.get_json(f"/recommendations/{NEW}?k=10")
    in_page = {item["item_id"] for item in page["items"]}
    assert page["model_version"] != before.model_version
    assert not in_page & set(clicked), "what was clicked is not offered again"
    assert len(in_page & set(unseen)) > len(in_page_before & set(unseen))


def whole_traces(records: list[Any]) -> list[list[int]]:
    """When a click was made, labelled, learned, published and served, of the answers that tell all that.

    Whose own click it was that an answer tells of is not said: a version carries a sample.
    """
    traces = [decode(Trace, dict(record.headers)[HEADER]) for record in records]
    stamps = [[one.event, one.label, one.learned, one.published, one.served] for one in traces]
    return [one for one in stamps if None not in one]


def refresh_of(loop: Loop, user_id: str) -> Recommendation:
    """The answer that a user gets unasked when a model has learned their click."""

    def of(records: list) -> list:
        return [r for r in records if r.key == user_id.encode() and b'"refresh:' in r.value]

    record = of(loop.cluster.read("recommendations", lambda records: bool(of(records))))[0]
    return decode(Recommendation, record.value)
