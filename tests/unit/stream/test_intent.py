"""What a user seems to be after: told as it was at any moment, whatever came later or was settled."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import Intent, Session
from stream.intent import ITEM_TAGS, LONG_MS, MOST_TAGS, PATH, SHORT_MS, VISIT_GAP_MS, lean
from stream.sessions import QUERIES, RECENT, SessionState, as_of, fold
from stream.touches import TOUCH_MS
from tests.makers import click, dwell, feedback, impression, search
from tests.synthetic import Habits, log, world

WORLD = world(1, 8)
KINDS = {item.item_id: item.tags for item in WORLD.items}
MINUTE, HOUR = 60_000, 3_600_000
SLOW = Habits(dwell_liked=TOUCH_MS / 2, dwell_other=TOUCH_MS / 2, search=0.3, between_slates=VISIT_GAP_MS / 3)
"""One user who leaves now and then."""


def tags(item_id: str) -> list[str]:
    return KINDS.get(item_id) or {"a": ["jazz", "live"], "b": ["chess"], "c": ["jazz"]}.get(item_id, [])


def folded(*events) -> SessionState:
    state = SessionState()
    for event in events:
        fold(state, event, tags=tags)
    return state


def told(state: SessionState, ts: int, request_id: str | None = None) -> Intent:
    intent = as_of(state, ts, request_id, tags).intent
    assert intent is not None
    return intent


@given(st.integers(0, 2**32))
def test_a_past_moment_is_seen_as_it_was_whatever_came_later_in_whatever_order(seed):
    rng, events = random.Random(seed), log(WORLD, 12, 3, seed, SLOW)
    ts = rng.choice(events).ts
    before = folded(*(event for event in events if event.ts < ts))
    rng.shuffle(events)
    assert as_of(folded(*events, *events), ts, tags=tags) == as_of(before, ts, tags=tags)


@given(st.integers(0, 2**32))
def test_later_moments_stay_exact_when_older_ones_are_settled(seed):
    rng, events = random.Random(seed), log(WORLD, 60, 3, seed, SLOW)
    settled, kept, before = SessionState(), SessionState(), 0
    for event in events:
        before = max(before, event.ts - rng.randint(0, 2 * TOUCH_MS))
        if event.ts >= before:
            fold(settled, event, settle_before=before, tags=tags)
            fold(kept, event, tags=tags)
        if rng.random() < 0.1:
            settled = msgspec.msgpack.decode(msgspec.msgpack.encode(settled), type=SessionState)
    ts = rng.randint(before, events[-1].ts + VISIT_GAP_MS)
    assert as_of(settled, ts, tags=tags) == as_of(kept, ts, tags=tags)


def test_a_visit_ends_when_nothing_is_done_for_half_an_hour():
    back = 10 + VISIT_GAP_MS
    state = folded(
        impression("r", 0),
        click("r", 9),
        impression("s", back),
        click("s", back + 1, "b"),
        search("q", back + 2),
    )
    assert told(state, 10).visit_s == 0.01
    assert told(state, 10).counters == {"impressions": 3, "clicks": 1}
    assert told(state, back) == msgspec.structs.replace(told(state, back), visit_s=0.0, counters={})
    assert told(state, back + MINUTE).visit_s == 60
    assert told(state, back + MINUTE).counters == {"impressions": 3, "clicks": 1, "searches": 1}


def test_what_the_user_does_with_the_slate_itself_does_not_show():
    events = impression("r", 0), click("r", 1, "b"), impression("s", 10)
    early = click("s", 5)  # stamped before its impression, by another clock
    assert told(folded(*events, early), 10, "s") == told(folded(*events), 10, "s")


def test_interests_fade_soon_and_late():
    state = folded(dwell("r", 0, 18_000), feedback("hide", 1, "b", request_id="r"))
    assert told(state, 2).short == told(state, 2).long == {"chess": -1.0, "jazz": 1.0, "live": 1.0}
    assert told(state, SHORT_MS).short == pytest.approx({"chess": -0.5, "jazz": 0.5, "live": 0.5})
    assert told(state, LONG_MS).short == {}
    assert told(state, LONG_MS).long == pytest.approx({"chess": -0.5, "jazz": 0.5, "live": 0.5})


def test_what_was_shown_and_not_taken_up_was_passed_over():
    state = folded(impression("r", 0, "ab"), click("r", MINUTE, "b"))
    assert told(state, 1).passed == {"chess": 1.0, "jazz": 1.0, "live": 1.0}
    assert set(told(state, MINUTE + 1).passed) == {"jazz", "live"}


def test_the_path_tells_each_change_of_surface_and_the_queries_the_last_searches():
    surfaces = "home", "home", "search", "home"
    shown = (impression(f"r{n}", n, surface=surface) for n, surface in enumerate(surfaces))
    searched = (search(f"query {n}", 10 + n) for n in range(QUERIES + 1))
    state = folded(*shown, *searched)
    assert told(state, 100).path == ["home", "search", "home"]
    assert told(state, 100).queries == [f"query {n}" for n in range(1, QUERIES + 1)]


def test_nothing_is_told_where_nothing_is_known_or_asked_for():
    assert as_of(folded(impression("r", 5)), 5, tags=tags) == Session()
    assert as_of(folded(click("r", 5)), 6).intent is None


def test_what_was_clicked_and_stayed_with_is_told_by_tag():
    state = folded(
        click("r", 5, "a"),
        dwell("r", 9, 4_500, "a"),
        dwell("r", 9, 9_000, "c"),
        click("s", 12, "b"),
        feedback("hide", 13, "b", request_id="s"),
        click("s", 20, "c"),
    )
    intent = told(state, 20)
    assert intent.clicked == {"jazz": 1, "live": 1}
    assert intent.stayed == {"jazz": 0.75, "live": 0.25}


def test_tags_are_bounded():
    known = {}
    for n in range(100):
        lean(known, [f"{tag} {n}" for tag in range(9)], 1 + n, n, SHORT_MS)
    assert len(known) == MOST_TAGS
    assert set(known) == {f"{tag} {n}" for tag in range(ITEM_TAGS) for n in (98, 99)}


def test_a_user_of_fifty_touches_takes_at_most_2_kb_with_all_that_tells_of_intent():
    state, many = SessionState(), lambda item_id: [f"tag {int(item_id[5:]) % 60}"]
    for n in range(300):
        ts = 1_700_000_000_000 + n * HOUR
        shown = impression(
            f"request-{n}", ts, [f"item-{n:06}", f"item-{n + 7:06}"], surface=f"surface {n % 3}"
        )
        for event in (
            shown,
            click(f"request-{n}", ts + 1, f"item-{n:06}"),
            dwell(f"request-{n}", ts + 10, 7_654.3, f"item-{n:06}"),
        ):
            fold(state, event, settle_before=ts - HOUR // 2, tags=many)
    session = as_of(state, ts + HOUR, tags=many)
    assert session.intent is not None
    assert len(state.leanings.passed) == MOST_TAGS
    assert (len(session.recent), len(session.intent.long), len(session.intent.path)) == (
        RECENT,
        MOST_TAGS,
        PATH,
    )
    assert len(msgspec.msgpack.encode(state)) <= 2_048
