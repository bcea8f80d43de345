import pytest
from msgspec.structs import replace

from learner.ledger import Ledger, task_targets
from schemas.codec import MAX_BYTES, encode
from schemas.labels import Session
from stream.estimates import Estimates
from stream.evidence import Evidence
from stream.feedback_slates import feedback_id
from stream.join_settings import JoinSettings, Rules
from stream.labeling import Labeler
from stream.sessions import QUERY_CHARS
from tests.makers import click, dwell, feedback, impression, search

WINDOW = 1_000
END = 10**9


@pytest.fixture
def labeler():
    return new()


def new(**settings):
    join = JoinSettings(WINDOW, 10, **settings)
    evidence = Evidence(Estimates, join.epoch_ms, join.horizon_ms)
    return Labeler(join, lambda *_: Session(), lambda *_: [], lambda item_id: None, evidence)


def told(label):
    """What a revision says, in short."""
    return label.revision, label.observed_ts, {o.item_id: o.clicked for o in label.outcomes}


def fold(labeler, *events):
    return [label for event in events for label in labeler.fold(event)]


def test_a_click_leaves_at_once_and_the_rest_when_the_window_ends(labeler):
    first, second = fold(labeler, impression("r", 0), click("r", 5, "b"), click("r", 9, "a"))
    assert (told(first), told(second)) == ((1, 5, {"b": True}), (0, 9, {"a": True}))
    assert not first.outcomes[0].final
    (passed,) = labeler.advance(WINDOW - 1)
    assert told(passed) == (3, 5, {"a": False})
    (final,) = labeler.advance(WINDOW)
    assert told(final) == (6, WINDOW, {"a": True, "b": True, "c": False})
    assert all(outcome.final for outcome in final.outcomes)
    assert labeler.advance(END) == []


def test_the_next_slate_of_the_surface_closes_the_one_before(labeler):
    fold(labeler, impression("r", 0), impression("other", 10, surface="search"), impression("next", 20))
    assert [(label.request_id, label.observed_ts) for label in labeler.advance(30)] == [("r", 20)]


def test_dwell_and_feedback_refine_the_final_revision(labeler):
    fold(labeler, impression("r", 0), click("r", 5), dwell("r", 20, 9_000), dwell("r", 10, 4_500))
    fold(labeler, feedback("like", 30, request_id="r"), dwell("r", 40, 1_800, "b"))
    (final,) = labeler.advance(END)
    a, b, c = final.outcomes
    assert (a.clicked, a.dwell_ms, a.satisfaction, a.feedback) == (True, 9_000, 1.0, {"like": 1.0})
    assert (b.clicked, b.satisfaction) == (False, 0.1)  # autoplay
    assert (c.dwell_ms, c.satisfaction) == (None, None)


def test_what_comes_after_the_end_corrects(labeler):
    fold(labeler, impression("r", 0))
    labeler.advance(WINDOW)
    (at_once,) = fold(labeler, click("r", WINDOW + 5))
    fold(labeler, dwell("r", WINDOW + 9, 18_000), dwell("r", WINDOW + 10, 100))
    first, second = labeler.advance(WINDOW + 100)
    assert told(at_once) == (0, WINDOW + 5, {"a": True})
    assert told(first) == (7, WINDOW + 5, {"a": True})
    assert told(second) == (8, WINDOW + 9, {"a": True})
    assert second.outcomes[0].satisfaction == 1
    assert second.outcomes[0].final


def test_a_click_as_the_slate_ends_is_a_correction_whenever_it_arrives(labeler):
    fold(labeler, impression("r", 0), click("r", WINDOW))
    final, correction = labeler.advance(END)
    assert told(final) == (6, WINDOW, {"a": False, "b": False, "c": False})
    assert told(correction) == (7, WINDOW, {"a": True})


def test_a_click_that_arrives_before_its_impression_waits_for_it(labeler):
    assert fold(labeler, click("r", 5, "b")) == []
    (label,) = fold(labeler, impression("r", 0))
    assert told(label) == (1, 5, {"b": True})


def test_a_click_stamped_before_its_impression_is_joined(labeler):
    (label,) = fold(labeler, click("r", 5), impression("r", 20))
    assert label.observed_ts == 5
    assert labeler.advance(20) == []
    (final,) = labeler.advance(END)
    assert final.outcomes[0].clicked


def test_what_came_a_whole_window_before_its_impression_is_not_joined_and_the_rest_is(labeler):
    early = click("r", 1, "a"), click("r", 2, "b"), dwell("r", 3, 9_000, "b")
    (told_at_once,) = fold(labeler, *early, impression("r", 1 + WINDOW))
    assert told(told_at_once) == (1, 2, {"b": True})
    *_, final = labeler.advance(END)
    assert [(one.clicked, one.dwell_ms) for one in final.outcomes] == [
        (False, None),
        (True, 9_000),
        (False, None),
    ]
    assert labeler.counts["orphans"] == 1


def test_a_click_without_impression_becomes_an_orphan_and_is_forgotten(labeler):
    fold(labeler, click("gone", 5), dwell("gone", 6, 1_000))
    assert labeler.advance(6 + WINDOW) == []
    assert labeler.counts["orphans"] == 2
    assert fold(labeler, impression("gone", 7 + WINDOW)) == []


def test_a_late_impression_still_gets_its_final_revision(labeler):
    fold(labeler, impression("newer", 500))
    labeler.advance(600)
    fold(labeler, click("late", 450), impression("late", 400))
    (final,) = labeler.advance(600)
    assert told(final) == (6, 500, {"a": True, "b": False, "c": False})


def test_a_second_click_and_a_repeated_impression_tell_nothing_new(labeler):
    fold(labeler, impression("r", 0), click("r", 5))
    assert fold(labeler, click("r", 6), impression("r", 7, "xyz", event_id="again")) == []
    (final,) = labeler.advance(END)
    assert final.slate == ["a", "b", "c"]
    assert labeler.counts["repeated_impressions"] == 1


def test_a_click_off_the_slate_is_counted(labeler):
    assert fold(labeler, impression("r", 0), click("r", 5, "z")) == []
    (final,) = labeler.advance(END)
    assert not any(outcome.clicked for outcome in final.outcomes)
    assert labeler.counts["off_slate"] == 1


@pytest.mark.parametrize("first", ["ab", "ba"])
def test_a_click_has_the_number_of_its_item_in_whatever_order_clicks_arrive(first):
    labels = fold(new(), impression("r", 0), *(click("r", 5, item_id) for item_id in first))
    assert {label.label_id: label.outcomes[0].item_id for label in labels} == {"r#0": "a", "r#1": "b"}


@pytest.mark.parametrize(("places", "expected"), [((0, 1, 2), 0), ((5, 3, 0), 0), ((2, 1, 4), 2)])
def test_an_item_shown_twice_has_one_outcome_where_it_stands_highest(labeler, places, expected):
    shown = impression("r", 0, "aba")
    items = [replace(item, position=place) for item, place in zip(shown.items, places, strict=True)]
    (told_at_once,) = fold(labeler, replace(shown, items=items), click("r", 5))
    *_, final = labeler.advance(END)
    assert [outcome.position for outcome in told_at_once.outcomes] == [expected]
    assert [(one.item_id, one.position) for one in final.outcomes] == [("a", expected), ("b", places[1])]


@pytest.mark.parametrize(
    ("kind", "value", "clicked", "pleased"), [("like", None, True, 1), ("rating", 2.0, False, 0.4)]
)
def test_feedback_without_a_slate_is_one_of_its_own(labeler, kind, value, clicked, pleased):
    assert fold(labeler, feedback(kind, 5, value=value)) == []
    (label,) = labeler.advance(END)
    (outcome,) = label.outcomes
    assert (label.request_id, label.surface, label.slate) == (f"feedback:f-{kind}-a-5", "feedback", ["a"])
    assert (outcome.clicked, outcome.satisfaction, outcome.final) == (clicked, pleased, True)


def test_the_id_of_a_feedback_slate_stays_an_id():
    ids = {feedback_id(end * 250) for end in ("x", "y")}
    assert len(ids) == 2
    assert all(len(one.encode()) <= 256 for one in ids)


def test_the_query_of_the_impression_is_the_newest(labeler):
    (label,) = fold(labeler, search("jazz", 0), impression("r", 1, query="chess"), click("r", 2))
    assert label.session.query == "chess"


def test_of_the_longest_query_that_a_topic_takes_a_label_tells_what_fits(labeler):
    longest = "x" * (MAX_BYTES - 1_000)
    (label,) = fold(labeler, impression("r", 1, query=longest), click("r", 2))
    assert label.session.query == longest[:QUERY_CHARS]
    assert len(encode(label)) < MAX_BYTES


def test_everything_is_forgotten_in_time(labeler):
    fold(labeler, impression("r", 0), click("r", 5), impression("next", 20), dwell("next", 30, 5))
    assert len(labeler) > 0
    labeler.advance(3 * WINDOW)  # the end of the corrections of the first epoch
    assert len(labeler) == 0


def test_what_stands_above_a_click_was_passed_over():
    labeler = new()
    fold(labeler, impression("r", 0, "abcd"), dwell("r", 1, 10, "a"), click("r", 5, "c"), click("r", 9, "d"))
    first, final = labeler.advance(END)
    assert told(first) == (4, 5, {"b": False})  # of a, something is known; c was clicked itself
    assert told(final) == (8, WINDOW, {"a": False, "b": False, "c": True, "d": True})
    assert not first.outcomes[0].final


def test_a_negative_is_weighed_once_whatever_is_learned_until_the_slate_ends():
    labeler = new(rules=Rules(refinements=frozenset({"quick", "delays"})))
    for number in range(100):
        fold(labeler, impression(f"{number}", number), click(f"{number}", number + 300))
    labeler.advance(3_000)
    fold(labeler, impression("before", 3_000, user_id="v"), click("before", 3_010, "b", user_id="v"))
    fold(labeler, impression("after", 3_020, user_id="w"), click("after", 3_030, "b", user_id="w"))
    told = {
        (label.request_id, label.revision): label.outcomes[0].weight
        for label in labeler.advance(END)
        if label.request_id in ("before", "after")
    }
    assert told["before", 3] == told["before", 6] > told["after", 3] == told["after", 6]


def test_quick_negatives_can_be_left_to_the_end():
    labeler = new(rules=Rules(refinements=frozenset()))
    fold(labeler, impression("r", 0), click("r", 5, "c"))
    assert [told(label)[0] for label in labeler.advance(END)] == [6]


def test_surfaces_have_their_own_windows():
    labeler = new(windows={"search": 3 * WINDOW})
    fold(labeler, impression("r", 0), impression("s", 0, surface="search"))
    assert [(label.request_id, label.observed_ts) for label in labeler.advance(END)] == [
        ("r", WINDOW),
        ("s", 3 * WINDOW),
    ]


def test_a_dwell_without_a_click_tells_something_only_where_items_play_by_themselves():
    labeler = new(rules=Rules(autoplay=frozenset({"feed"})))
    for surface in ("feed", "list"):
        fold(labeler, impression(surface, 0, surface=surface), dwell(surface, 5, 9_000))
    finals = {label.surface: label.outcomes[0] for label in labeler.advance(END)}
    assert {surface: (o.dwell_ms, o.satisfaction) for surface, o in finals.items()} == {
        "feed": (9_000, 0.5),
        "list": (9_000, None),
    }


def test_what_the_user_says_outweighs_the_stay_unless_it_is_switched_off():
    for refinements, expected in ((frozenset({"feedback"}), 0.0), (frozenset(), 1.0)):
        labeler = new(rules=Rules(refinements=refinements))
        fold(labeler, impression("r", 0), dwell("r", 5, 18_000), feedback("hide", 6, request_id="r"))
        (final,) = labeler.advance(END)
        assert final.outcomes[0].satisfaction == expected


def test_what_is_taken_back_says_nothing_any_more():
    labeler = new()
    fold(labeler, impression("r", 0), dwell("r", 5, 9_000), feedback("like", 6, request_id="r"))
    fold(labeler, feedback("like", 7, request_id="r", value=0.0))
    fold(labeler, feedback("like", 8, value=0.0))
    (alone,) = labeler.advance(9)
    (final,) = labeler.advance(END)
    assert final.outcomes[0].satisfaction == 0.5
    assert task_targets(final.outcomes[0])[2] == 0
    assert (alone.outcomes[0].clicked, alone.outcomes[0].satisfaction) == (False, None)
    assert Ledger(1).admit(alone) == []


def test_a_late_click_shows_that_what_stands_above_it_was_looked_at():
    labeler = new(rules=Rules(refinements=frozenset({"examination"})))
    for number in range(200):  # all click on what they see first
        fold(labeler, impression(f"{number}", number, user_id=f"{number}"))
        fold(labeler, click(f"{number}", number + 1, user_id=f"{number}"))
    labeler.advance(6 * WINDOW)
    ts = 6 * WINDOW
    fold(labeler, impression("r", ts, "abcd"), click("r", ts + 5), click("r", ts + WINDOW + 5, "c"))
    final, correction = (label for label in labeler.advance(END) if label.request_id == "r")
    seen = {one.item_id: one.examined for one in final.outcomes}
    assert seen["a"] == 1 > seen["b"] > seen["d"]
    assert {one.item_id: (one.clicked, one.examined) for one in correction.outcomes} == {
        "c": (True, 1.0),
        "b": (False, 1.0),
    }


def test_satisfaction_is_learned_from_epochs_that_are_over():
    labeler = new(rules=Rules(refinements=frozenset({"satisfaction"})))
    for n in range(60):  # all stay for 2 to 4 s; after some epochs, 4 s are long
        fold(labeler, impression(f"r{n}", 500 * n), dwell(f"r{n}", 500 * n + 1, 2_000 + 500 * (n % 5)))
    outcomes = [label.outcomes[0] for label in labeler.advance(END)]
    first, *_, last = (outcome.satisfaction for outcome in outcomes if outcome.dwell_ms == 4_000)
    assert first == pytest.approx(4 / 18)
    assert last > 0.6
