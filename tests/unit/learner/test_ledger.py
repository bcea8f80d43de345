import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.ledger import Ledger
from schemas.labels import LabeledSlate, Outcome, Session

ITEMS = ("a", "b", "c")


def outcome(item: str = "a", **changes: object) -> Outcome:
    return Outcome(**{"item_id": item, "position": 0, **changes})  # type: ignore[arg-type]


def label(revision: int, *outcomes: Outcome, request: str = "r") -> LabeledSlate:
    return LabeledSlate(
        request_id=request,
        revision=revision,
        user_id="u",
        ts=0,
        observed_ts=1,
        session=Session(),
        slate=list(ITEMS),
        outcomes=list(outcomes),
    )


def weights(ledger: Ledger, slate: LabeledSlate) -> list[tuple[float, ...]]:
    return [target.weights for target in ledger.admit(slate)]


def test_a_click_refined_by_its_dwell_teaches_only_what_is_new() -> None:
    ledger = Ledger(10)
    assert weights(ledger, label(0, outcome(clicked=True))) == [(1, 0, 0, 0)]
    refined = label(1, outcome(clicked=True, satisfaction=0.4, final=True))
    [target] = ledger.admit(refined)
    assert target.weights == (0, 1, 1, 1)
    assert target.targets == (1, 0, 0, 0)


def test_a_late_click_after_a_negative_is_learned_in_full() -> None:
    ledger = Ledger(10)
    assert weights(ledger, label(0, outcome(final=True))) == [(1, 1, 1, 1)]
    [target] = ledger.admit(label(1, outcome(clicked=True, final=True)))
    assert (target.targets[0], target.weights) == (1, (1, 0, 0, 0))


def test_what_was_neither_opened_nor_stayed_with_did_not_satisfy() -> None:
    [skipped] = Ledger(10).admit(label(0, outcome(final=True)))
    assert (skipped.targets[1], skipped.weights[1]) == (0, 1)
    [autoplayed] = Ledger(10).admit(label(0, outcome(satisfaction=1.0, final=True)))
    assert (autoplayed.targets[1], autoplayed.weights[1]) == (1, 1)


def test_a_raised_weight_is_learned_by_its_difference_and_a_lowered_one_not_at_all() -> None:
    ledger = Ledger(10)
    ledger.admit(label(0, outcome(clicked=True, weight=1)))
    assert weights(ledger, label(1, outcome(clicked=True, weight=0.5))) == []
    assert weights(ledger, label(2, outcome(clicked=True, weight=1.5))) == [(0.5, 0, 0, 0)]


def test_trust_and_examination_scale_the_weight() -> None:
    slate = label(0, outcome(clicked=True, weight=2, trust=0.5, examined=0.25))
    assert weights(Ledger(10), slate) == [(0.25, 0, 0, 0)]


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        ({"like": 1.0}, (1, 0)),
        ({"purchase": 1.0}, (1, 0)),
        ({"rating": 4.0}, (1, 0)),
        ({"rating": 3.5}, (1, 0)),
        ({"rating": 3.0}, (0, 0)),
        ({"comment": 1.0}, (1, 0)),
        ({"hide": 1.0}, (0, 1)),
        ({"save": 1.0, "report": 1.0}, (1, 1)),
    ],
)
def test_feedback_decides_the_like_and_negative_tasks(
    feedback: dict[str, float], expected: tuple[int, int]
) -> None:
    [target] = Ledger(10).admit(label(0, outcome(feedback=feedback, final=True)))
    assert target.targets[2:] == expected


def test_a_seen_label_teaches_nothing_and_is_listed_once() -> None:
    ledger = Ledger(10)
    ledger.admit(label(0, outcome(clicked=True)))
    assert ledger.admit(label(0, outcome(clicked=False, final=True))) == []
    assert list(ledger.label_ids()) == ["r#0"]


def test_the_slates_untouched_for_longest_are_forgotten() -> None:
    ledger = Ledger(2)
    for request in ("old", "kept"):
        ledger.admit(label(0, outcome(clicked=True), request=request))
    ledger.admit(label(1, outcome(clicked=True, final=True), request="old"))
    ledger.admit(label(0, outcome(clicked=True), request="new"))
    assert list(ledger.label_ids()) == ["old#0", "old#1", "new#0"]


@st.composite
def revisions(draw: st.DrawFn) -> list[LabeledSlate]:
    """One slate whose outcomes are told, and told again, over any number of revisions."""
    clicked = {item: draw(st.booleans()) for item in ITEMS}
    told = draw(st.lists(st.lists(st.sampled_from(ITEMS), max_size=4), max_size=6))
    final = [*told, list(ITEMS)]
    return [
        label(number, *(outcome(item, clicked=clicked[item], final=number == len(told)) for item in items))
        for number, items in enumerate(final)
    ]


@given(revisions())
def test_any_split_over_revisions_learns_each_click_once(slates: list[LabeledSlate]) -> None:
    ledger = Ledger(10)
    total = dict.fromkeys(ITEMS, 0.0)
    for slate in slates:
        for target in ledger.admit(slate):
            total[target.item_id] += target.weights[0]
    assert total == dict.fromkeys(ITEMS, 1.0)


@given(revisions(), st.data())
def test_duplicates_anywhere_learn_nothing(slates: list[LabeledSlate], data: st.DataObject) -> None:
    ledger = Ledger(10)
    for number, slate in enumerate(slates):
        ledger.admit(slate)
        assert ledger.admit(slates[data.draw(st.integers(0, number))]) == []


@given(revisions(), st.data())
def test_restoring_anywhere_equals_running_through(slates: list[LabeledSlate], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(slates)))
    through, first, second = Ledger(10), Ledger(10), Ledger(10)
    expected = [through.admit(slate) for slate in slates]
    before = [first.admit(slate) for slate in slates[:cut]]
    stored = msgspec.json.encode(first.snapshot())
    second.restore(msgspec.json.decode(stored, type=dict[str, msgspec.Raw]))
    assert before + [second.admit(slate) for slate in slates[cut:]] == expected
    assert second.snapshot() == through.snapshot()


def test_what_is_taken_back_has_no_weight_and_is_not_trusted_any_more() -> None:
    ledger = Ledger(10)
    ledger.admit(label(0, outcome("a", clicked=True)))
    ledger.admit(label(6, outcome("a", clicked=True, final=True), outcome("b", final=True)))
    [target] = ledger.admit(label(7, outcome("a", clicked=True, trust=0.0, final=True)))
    assert target.weights == (0, 0, 0, 0)
    assert (target.before.trust, target.after.trust) == (1, 0)
    assert target.after.weights == target.before.weights
    assert ledger.admit(label(8, outcome("a", clicked=True, trust=0.5, final=True))) == []
    assert ledger.admit(label(9, outcome("c", clicked=True, trust=0.0, final=True))) == []
