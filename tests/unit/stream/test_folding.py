"""The promise of the join: one log gives the same labels, however it arrives and wherever it breaks off."""

import random
from collections import Counter, defaultdict, deque
from copy import deepcopy
from dataclasses import dataclass, replace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.events import Click, Dwell, Feedback, Impression, Search, UserEvent
from schemas.labels import LabeledSlate, Session
from stream.folding import PartitionFold
from stream.join_settings import REFINEMENTS, JoinSettings, Rules
from stream.label_report import kind_of
from tests.makers import click, dwell, feedback, impression, search
from tests.rough import ITEMS, arrivals, rough_log
from tests.synthetic import Habits, log, topic_of, world

LATENESS = 5_000
RULES = Rules(refinements=frozenset(REFINEMENTS), autoplay=frozenset({"home"}), bounce_weight=0.3)
JOIN = JoinSettings(
    window_ms=60_000, lateness_ms=LATENESS, windows={"home": 45_000, "search": 90_000}, rules=RULES
)
WORLD = world(n_users=3, n_items=12)
DURATIONS = {item.item_id: item.duration_ms for item in WORLD.items} | dict.fromkeys("abc", 10_000)
TAGS = {item.item_id: item.tags for item in WORLD.items} | {item_id: [item_id] for item_id in ITEMS}
BUSY = Habits(click_delay=30_000, dwell_liked=20_000, between_slates=15_000)
"""Clicks often come after the next slate or the window's end."""


@dataclass(frozen=True)
class Message:
    topic: str
    offset: int
    event: UserEvent


def messages(arrived: list[UserEvent]) -> list[Message]:
    """What a broker hands over, in the order of arrival, with the offsets that it gives."""
    ends: Counter[str] = Counter()
    handed = []
    for event in arrived:
        topic = topic_of(event)
        handed.append(Message(topic, ends[topic], event))
        ends[topic] += 1
    return handed


def partition(sessions, settings: JoinSettings = JOIN) -> PartitionFold[Message]:
    return PartitionFold(settings, sessions, DURATIONS.get, lambda item_id: TAGS.get(item_id, []))


def some_rules(rng: random.Random) -> JoinSettings:
    """The join with some of the refinements."""
    refinements = frozenset(one for one in sorted(REFINEMENTS) if rng.random() < 0.7)
    return replace(JOIN, rules=replace(RULES, refinements=refinements))


def run(fold: PartitionFold[Message], arrivals: list[Message], rng: random.Random) -> list[LabeledSlate]:
    """Fold in batches of random sizes."""
    labels = []
    for message in arrivals:
        labels += fold.fold(message.event, message.topic, message, now_ms=0)
        if rng.random() < 0.3:
            labels += fold.advance(now_ms=0)
    return labels


def catch_up(fold: PartitionFold[Message], unread: list[Message], rng: random.Random) -> list[LabeledSlate]:
    """Read again what a crash left open, topics in any order: the worker knows what is unread."""
    queues = defaultdict(deque)
    for message in unread:
        queues[message.topic].append(message)
    labels = []
    while queues:
        topic = rng.choice(sorted(queues))
        message = queues[topic].popleft()
        if not queues[topic]:
            del queues[topic]
        labels += fold.fold(message.event, topic, message, now_ms=0)
        labels += fold.advance(now_ms=0, unread=list(queues))
    return labels


def facts(labels: list[LabeledSlate]) -> dict[str, bytes]:
    """Labels by id, as bytes; a repeated id must repeat them.

    The session of a click's revision is what had arrived by then, and so are the trust in its user and, of
    several clicks on the item, the one that is told; every other revision's are exact.
    """
    known: dict[str, bytes] = {}
    for label in labels:
        if kind_of(label) == "click":
            told = [msgspec.structs.replace(outcome, trust=1.0) for outcome in label.outcomes]
            label = msgspec.structs.replace(label, session=Session(), outcomes=told, observed_ts=label.ts)
        raw = encode(label)
        assert known.setdefault(label.label_id, raw) == raw
    return known


def reference(events: list[UserEvent], settings: JoinSettings = JOIN) -> dict[str, bytes]:
    """What a log gives when it is read in event-time order, event by event."""
    fold = partition({}, settings)
    labels = []
    for event in events:
        labels += fold.fold(event, topic_of(event), None, now_ms=0) + fold.advance(now_ms=0)
    return facts(labels + fold.drain())


seeds = st.integers(0, 2**32)


@given(seeds, st.integers(1, 60))
def test_neither_arrival_nor_batches_show_in_the_labels(seed, slates):
    events, rng = rough_log(slates, seed), random.Random(seed)
    join = some_rules(rng)
    fold = partition({}, join)
    labels = run(fold, messages(arrivals(events, LATENESS, rng)), rng) + fold.drain()
    assert facts(labels) == reference(events, join)


@given(seeds, st.integers(1, 80), st.integers(1, 6))
@example(1035, 60, 4)  # a click before its impression, settled while its label could be asked for again
def test_a_crash_does_not_show_in_the_labels(seed, slates, stops):
    events, rng = rough_log(slates, seed), random.Random(seed)
    join, arrived = some_rules(rng), messages(arrivals(events, LATENESS, rng))
    sessions, labels, start = {}, [], 0
    fold, done, saved, evidence = partition(sessions, join), set(), {}, None
    for stop in sorted(rng.choices(range(len(arrived) + 1), k=stops)):
        labels += run(fold, arrived[start:stop], rng)
        start = stop
        if rng.random() < 0.7:
            evidence, saved = fold.take_evidence() or evidence, deepcopy(sessions)
            if rng.random() < 0.7:  # else a crash comes between the evidence and the commit
                done.update((message.topic, message.offset) for message in fold.done_tokens())
                continue
        sessions = deepcopy(rng.choice([saved, sessions]))  # they may be ahead of the commit
        fold = partition(sessions, join)
        if evidence is not None:
            fold.restore_evidence(evidence)
        labels += catch_up(fold, again(arrived[:stop], done), rng)
    labels += run(fold, arrived[start:], rng) + fold.drain()
    assert facts(labels) == reference(events, join)


def again(read: list[Message], done: set[tuple[str, int]]) -> list[Message]:
    """What is read again: every topic from its first message that was not done."""
    first: dict[str, int] = {}
    for message in read:
        if (message.topic, message.offset) not in done:
            first[message.topic] = min(message.offset, first.get(message.topic, message.offset))
    return [message for message in read if message.offset >= first.get(message.topic, len(read))]


@given(seeds)
def test_every_exposure_ends_in_one_final_revision_that_agrees_with_the_log(seed):
    events = log(WORLD, 30, 4, seed, BUSY)
    labels = [decode(LabeledSlate, raw) for raw in reference(events).values()]
    last = {}
    for label in sorted(labels, key=lambda label: label.revision):
        last.update({(label.request_id, outcome.item_id): outcome for outcome in label.outcomes})
    shown = [(e.request_id, s.item_id) for e in events if isinstance(e, Impression) for s in e.items]
    finals = [label for label in labels if kind_of(label) == "final"]
    assert sorted((label.request_id, o.item_id) for label in finals for o in label.outcomes) == sorted(shown)
    clicked = {(e.request_id, e.item_id) for e in events if isinstance(e, Click) if not expired(e, events)}
    assert {key for key, outcome in last.items() if outcome.clicked} >= clicked
    assert all(outcome.final for outcome in last.values())


def expired(event: Click, events: list[UserEvent]) -> bool:
    shown = next(e for e in events if isinstance(e, Impression) and e.request_id == event.request_id)
    return event.ts >= shown.ts + 2 * JOIN.window_ms


def test_the_evidence_shows_in_the_labels():
    """What the tests above hold equal is not all ones."""
    labels = [decode(LabeledSlate, raw) for raw in reference(log(WORLD, 300, 4, 0, BUSY)).values()]
    outcomes = [outcome for label in labels for outcome in label.outcomes]
    assert {"click", "quick negative", "final", "correction"} == {kind_of(label) for label in labels}
    for values in (
        {outcome.examined for outcome in outcomes},
        {outcome.weight for outcome in outcomes if not outcome.clicked},
        {outcome.satisfaction for outcome in outcomes if outcome.satisfaction},
    ):
        assert len(values) > 20


def test_the_same_event_twice_counts_once():
    fold = partition({})
    shown = impression("r", 100)
    for token, event in enumerate([shown, shown, click("r", 101), click("r", 101)]):
        fold.fold(event, topic_of(event), token, now_ms=0)
    assert fold.counts["duplicates"] == 2
    assert len(fold.drain()) == 1
    assert sorted(fold.done_tokens()) == [0, 1, 2, 3]


def test_a_message_is_done_once_nothing_can_change_its_labels():
    fold, ts = partition({}), 10 * JOIN.horizon_ms
    for token, event in enumerate([impression("r", ts), click("r", ts + 1), search("q", ts + 2)]):
        fold.fold(event, topic_of(event), token, now_ms=0)
    fold.advance(now_ms=0)
    assert fold.done_tokens() == []
    last_ms = JOIN.horizon_ms + 2 * LATENESS + JOIN.epoch_ms  # of silence, until the epoch is done
    fold.advance(now_ms=last_ms - JOIN.epoch_ms)
    assert fold.done_tokens() == []
    fold.advance(now_ms=last_ms)
    assert fold.done_tokens() == [0, 2]
    fold.advance(now_ms=last_ms + JOIN.epoch_ms)  # a click may be stamped before its impression
    assert fold.done_tokens() == [1]


def test_a_late_message_is_not_done_before_it_had_its_turn():
    fold, ts = partition({}), 10 * JOIN.horizon_ms
    fold.fold(impression("r", ts), "impressions", "timely", now_ms=0)
    fold.advance(now_ms=0)
    late = impression("late", ts - JOIN.horizon_ms - LATENESS, user_id="v")
    fold.fold(late, "impressions", "late", now_ms=0)
    assert fold.done_tokens() == []
    (label,) = fold.advance(now_ms=1)
    assert label.request_id == "late"
    assert fold.done_tokens() == []
    fold.advance(now_ms=JOIN.window_ms)
    assert fold.done_tokens() == ["late"]


def test_an_impression_of_a_time_whose_labels_are_told_gives_none_also_after_a_restart():
    events = [impression("r", 5), click("r", 6), impression("later", 10 * JOIN.horizon_ms, user_id="v")]
    fold, successor = partition({}), partition({})
    labels = run(fold, [Message(topic_of(event), 0, event) for event in events], random.Random(0))
    fold.advance(now_ms=0)
    successor.restore_evidence(fold.take_evidence())
    for one in (fold, successor):
        assert not one.fold(click("r", 6), "clicks", None, 0)
        assert not one.fold(impression("r", 5, event_id="again"), "impressions", None, 0)
        assert {label.request_id for label in one.drain()} <= {"later"}
        assert one.counts["too_late"] == 1
    assert labels


@pytest.mark.parametrize("said_by", ["u", "v"])
def test_what_is_said_of_a_slate_that_is_over_or_was_not_theirs_counts_by_itself(said_by):
    fold = partition({})
    ts = 2 * JOIN.longest_ms if said_by == "u" else 10
    events = impression("r", 0), feedback("purchase", ts, user_id=said_by, request_id="r")
    labels = run(fold, [Message(topic_of(event), 0, event) for event in events], random.Random(0))
    told = {label.request_id: label.outcomes for label in labels + fold.drain()}
    assert told.keys() == {"r", f"feedback:f-purchase-a-{ts}"}
    assert told[f"feedback:f-purchase-a-{ts}"][0].clicked
    assert not any(outcome.feedback for outcome in told["r"])


def test_a_page_that_is_shown_again_under_its_old_request_has_its_labels():
    fold = partition({})
    events = [impression("r", ts, event_id=f"i-{ts}") for ts in (0, 3 * JOIN.longest_ms)]
    labels = run(fold, [Message(topic_of(event), 0, event) for event in events], random.Random(0))
    assert [label.label_id for label in labels + fold.drain()] == ["r#6"]
    assert fold.counts == {"repeated_impressions": 1}


def test_sessions_are_those_of_the_caller_and_changes_are_told_once():
    sessions = {}
    fold = partition(sessions)
    fold.fold(dwell("r", 5, 9_000, user_id="u"), "dwells", 0, now_ms=0)
    fold.fold(feedback("like", 6, user_id="v"), "feedback", 1, now_ms=0)
    assert set(sessions) == fold.take_changed() == {"u", "v"}
    assert fold.take_changed() == set()


def test_a_slate_carries_the_session_before_it():
    fold = partition({})
    events = [impression("r", 100), click("r", 200), impression("next", 1_100), click("next", 1_200)]
    labels = [label for event in events for label in fold.fold(event, topic_of(event), None, now_ms=0)]
    first, second = labels
    assert first.session == Session()
    assert [(item.item_id, item.action, item.age_s) for item in second.session.recent] == [
        ("a", "click", 0.9)
    ]


@pytest.mark.parametrize("kind", [Impression, Click, Dwell, Feedback, Search])
def test_the_planted_log_has_every_kind_of_event(kind):
    assert any(isinstance(event, kind) for event in log(WORLD, 60, 4, 0, BUSY))
