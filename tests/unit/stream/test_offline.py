"""A log labelled offline: the live fold's labels and sessions, and no more memory than what is open."""

import random
from operator import attrgetter

import pytest

from schemas.codec import encode
from schemas.labels import FEEDBACK_SURFACE
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings
from stream.offline import NO_CLOCK, TOPICS, label
from stream.prequential.observer import Observer
from stream.sessions import SessionState, as_of
from stream.touches import TOUCH_MS
from tests.makers import feedback, impression, search
from tests.synthetic import Habits, log, world

JOIN = JoinSettings(window_ms=60_000, lateness_ms=5_000)
WORLD = world(n_users=3, n_items=12)
DURATIONS = {item.item_id: item.duration_ms for item in WORLD.items}.get
EVENTS = log(WORLD, 400, 4, 1, Habits(between_slates=15_000))


def new_fold(sessions: dict[str, SessionState]) -> PartitionFold[None]:
    return PartitionFold(JOIN, sessions, DURATIONS)


def live() -> tuple[dict[str, SessionState], set[bytes]]:
    """As a worker: batches of random sizes, evidence taken and messages done before each commit."""
    rng, sessions, labels = random.Random(0), {}, []
    fold = new_fold(sessions)
    for event in EVENTS:
        labels += fold.fold(event, TOPICS[type(event)], None, NO_CLOCK)
        if rng.random() < 0.1:
            labels += fold.advance(NO_CLOCK)
            fold.take_evidence()
            fold.done_tokens()
    return sessions, set(map(encode, labels + fold.drain()))


def test_labels_and_sessions_are_those_of_the_live_fold() -> None:
    sessions: dict[str, SessionState] = {}
    labels = {encode(one) for one in label(EVENTS, new_fold(sessions), every=50)}
    states, told = live()
    assert labels == told
    assert sessions.keys() == states.keys()
    asked = EVENTS[-1].ts + 1
    for user_id, state in sessions.items():
        settled_ts = max(state.settled_ts, states[user_id].settled_ts)
        for ts in (settled_ts, (settled_ts + asked) // 2, asked):
            assert as_of(state, ts) == as_of(states[user_id], ts)


def test_sessions_are_settled_as_the_log_goes_on() -> None:
    sessions: dict[str, SessionState] = {}
    for _ in label(EVENTS, new_fold(sessions), every=50):
        pass
    length_ms = EVENTS[-1].ts - EVENTS[0].ts
    assert length_ms > 5 * (JOIN.horizon_ms + TOUCH_MS)
    for state in sessions.values():
        assert state.settled_ts > EVENTS[0].ts + length_ms / 2
        assert all(one.marks[0][0] + TOUCH_MS > state.settled_ts for one in state.touches)
        assert all(slate[0] >= state.settled_ts - 2 * JOIN.longest_ms for slate in state.slates)


def test_an_observed_log_knows_the_sessions_that_its_labels_had() -> None:
    observer, sessions = Observer(DURATIONS, JOIN), {}
    for event in EVENTS:
        observer.observe(event)
    list(label(EVENTS, new_fold(sessions), every=50))
    asked = EVENTS[-1].ts + 1
    for user_id, state in sessions.items():
        assert observer.session(user_id, asked) == as_of(state, asked)


@pytest.mark.parametrize("every", [1, 7, 10**6])
def test_how_long_an_old_slate_is_known_does_not_depend_on_batches(every: int) -> None:
    window = JOIN.window_ms
    said = [feedback("like", n * window // 2, request_id="r") for n in range(3, 11)]
    around = [search("jazz", ts) for ts in range(0, 20 * window, window // 4)]
    events = sorted([impression("r", 0), *said, *around], key=attrgetter("ts"))
    told = [one.observed_ts for one in label(events, new_fold({}), every) if one.surface == FEEDBACK_SURFACE]
    assert told == [2 * window, 5 * window // 2]
