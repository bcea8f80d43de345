import random
from copy import deepcopy
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sessions import (
    EXPIRY_MS,
    LIMIT,
    MARKS,
    QUERY_MS,
    RECENT,
    TOUCH_MS,
    SessionState,
    as_of,
    fold,
)
from tests.makers import click, dwell, feedback, impression, search
from tests.synthetic import Habits, log, world

AGO = 1_000


def folded(*events, **more):
    state = SessionState()
    for event in events:
        fold(state, event, **more)
    return state


def test_a_session_tells_what_was_done_and_how_well_it_pleased():
    state = folded(
        impression("r", 1_000),
        click("r", 2_000),
        dwell("r", 11_000, 9_000),
        search("jazz", 12_000),
        feedback("hide", 13_000, "b", request_id="r"),
    )
    session = as_of(state, 21_000)
    assert [(item.item_id, item.action, item.satisfaction, item.age_s) for item in session.recent] == [
        ("a", "click", 0.5, 10.0),
        ("b", "negative", 0.0, 8.0),
    ]
    assert session.query == "jazz"
    assert session.counters == {
        "impressions": 3,
        "clicks": 1,
        "dwells": 1,
        "satisfied": 0.5,
        "negatives": 1,
        "searches": 1,
    }


def test_what_the_user_says_outweighs_how_long_they_stayed():
    state = folded(dwell("r", 1, 1_000), feedback("rating", 2, request_id="r", value=5.0))
    (item,) = as_of(state, 3).recent
    assert (item.action, item.satisfaction) == ("rating", 1.0)


def test_what_is_taken_back_leaves_what_was_said_at_its_time():
    liked = feedback("like", 1, request_id="r")
    after = as_of(folded(liked, feedback("like", 2, request_id="r", value=0.0)), 3)
    assert after == as_of(folded(liked), 3)


def test_an_old_search_is_no_longer_the_query():
    state = folded(search("jazz", 1_000))
    assert as_of(state, 1_000 + QUERY_MS).query == "jazz"
    assert as_of(state, 1_001 + QUERY_MS).query is None


def test_a_click_stamped_before_its_impression_does_not_leak_into_its_label():
    state = folded(click("r", 10), click("q", 11, "b"))
    assert [item.item_id for item in as_of(state, 20, request_id="r").recent] == ["b"]


events = st.builds(lambda seed: log(world(1, 6, seed=seed), 6, 3, seed), st.integers(0, 20)).flatmap(
    st.permutations
)


@given(events, st.integers(0, 40))
def test_a_past_moment_is_seen_as_it_was_whatever_came_later_in_whatever_order(events, index):
    ts = sorted(event.ts for event in events)[min(index, len(events) - 1)]
    before = folded(*(event for event in events if event.ts < ts))
    assert as_of(folded(*events), ts) == as_of(before, ts)


@given(events)
def test_folding_again_changes_nothing(events):
    once = folded(*events)
    assert folded(*events, *events) == once


def test_folding_again_changes_nothing_after_settling():
    events = [
        event for n in range(3 * LIMIT) for event in (impression(f"r{n}", 10 * n), click(f"r{n}", 10 * n + 1))
    ]
    once = folded(*events)
    for event in events:
        fold(once, event, settle_before=events[-1].ts - AGO)
    again = deepcopy(once)
    for event in events:
        fold(again, event, settle_before=events[-1].ts - AGO)
    assert again == once
    assert as_of(once, 10**9).counters == {"impressions": 9 * LIMIT, "clicks": 3 * LIMIT}


HOUR, MINUTE = 3_600_000, 60_000


@given(st.integers(0, 2**32))
def test_later_moments_stay_exact_when_older_ones_are_settled(seed):
    rng = random.Random(seed)
    busy = Habits(dwell_liked=TOUCH_MS / 2, dwell_other=TOUCH_MS / 2, between_slates=TOUCH_MS / 10)
    events = log(world(1, 6, seed=seed), 60, 3, seed, busy)
    settled, kept, before = SessionState(), SessionState(), 0
    for event in events:
        before = max(before, event.ts - rng.randint(0, TOUCH_MS))
        if event.ts >= before:
            fold(settled, event, settle_before=before)
            fold(kept, event)
    ts = rng.randint(before, events[-1].ts + 1)
    assert as_of(settled, ts) == as_of(kept, ts)
    assert len(settled.touches) < len(kept.touches)


def test_what_comes_much_later_is_another_touch_in_whatever_order_it_is_told():
    marks = [click("r", 0), dwell("r", TOUCH_MS - 1, 9_000), feedback("like", TOUCH_MS, request_id="r")]
    states = [folded(*order) for order in permutations(marks)]
    assert all(state == states[0] for state in states)
    assert [item.action for item in as_of(states[0], HOUR).recent] == ["click", "like"]


def test_touches_expire():
    state = folded(click("r", 0), click("s", 5))
    assert [item.age_s * 1_000 for item in as_of(state, EXPIRY_MS + 5).recent] == [EXPIRY_MS]


def test_fifty_touches_of_the_past_take_less_than_2_kb():
    state = SessionState()
    for n in range(200):
        ts = 1_700_000_000_000 + n * HOUR
        fold(state, impression(f"request-{n}", ts), settle_before=ts - HOUR)
        fold(state, click(f"request-{n}", ts + 1, f"item-{n:06}"), settle_before=ts - HOUR)
        fold(state, dwell(f"request-{n}", ts + 10, 7_654.3, f"item-{n:06}"), settle_before=ts - HOUR)
    assert len(as_of(state, ts + HOUR).recent) == RECENT
    assert len(msgspec.msgpack.encode(state)) <= 2_048


def test_fifty_touches_take_less_than_2_kb_while_twenty_minutes_of_them_may_still_change():
    state = SessionState()
    for n in range(RECENT):
        ts = 1_700_000_000_000 + n * MINUTE
        fold(state, click(f"request-{n}", ts, f"item-{n:04}"), settle_before=ts - 20 * MINUTE)
        fold(state, dwell(f"request-{n}", ts + 10_000, 7_654.3, f"item-{n:04}"))
    assert len(state.touches) > 20
    assert len(as_of(state, ts + MINUTE).recent) == RECENT
    assert len(msgspec.msgpack.encode(state)) <= 2_000


def test_a_moment_older_than_what_is_settled_shows_nothing_that_came_later():
    state = SessionState()
    for n in range(2 * RECENT):
        fold(state, click(f"r{n}", n * HOUR), settle_before=n * HOUR)
    moment = (RECENT + 20) * HOUR + 1
    ages = [item.age_s for item in as_of(state, moment).recent]
    assert ages
    assert min(ages) >= 0


def test_state_is_bounded():
    state = SessionState()
    for n in range(LIMIT + 50):  # none may be settled
        fold(state, impression(f"r{n}", n))
        fold(state, click(f"r{n}", n))
        fold(state, search(f"q{n}", n))
        fold(state, dwell("heartbeat", n, n))
    assert (len(state.touches), len(state.slates), len(state.searches)) == (LIMIT, LIMIT, LIMIT)
    assert max(len(touch.marks) for touch in state.touches) <= MARKS
    assert len(as_of(state, 10**6).recent) == RECENT


@pytest.mark.parametrize("seed", [0, 1])
def test_a_state_goes_through_msgpack(seed):
    events = log(world(1, 6, seed=seed), 20, 3, seed)
    state = folded(*events, settle_before=events[len(events) // 2].ts)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=SessionState) == state


def test_touches_of_one_moment_keep_their_order_whatever_comes_later():
    before = click("r1", 10, "b"), dwell("r2", 10, 9_000, "b"), click("r3", 5, "c")
    later = dwell("r3", 25, 9_000, "c")
    assert as_of(folded(*before, later), 20) == as_of(folded(*before), 20)


def test_of_many_marks_the_oldest_count_in_whatever_order_they_come():
    beats = [dwell("r", ts, 100.0 * ts) for ts in range(1, MARKS + 5)]
    assert folded(*beats) == folded(*reversed(beats))
