"""A click that is regretted at once, from the events to what the learner is taught and counts."""

import pytest

from learner.ledger import Ledger
from learner.query import TASKS
from schemas.codec import encode
from schemas.labels import LabeledSlate, Session
from stream.estimates import Estimates
from stream.evidence import Evidence
from stream.join_settings import JoinSettings, Rules
from stream.labeling import Labeler
from tests.makers import click, dwell, feedback, impression

WEIGHT = 0.1
BOUNCE = [impression("r", 0), click("r", 5), dwell("r", 6, 500)]
REPORT = feedback("report", 7, request_id="r")
LIKE = feedback("like", 7, request_id="r")


def labels(*events, weight: float = WEIGHT) -> list[LabeledSlate]:
    join = JoinSettings(1_000, 10, rules=Rules(bounce_weight=weight))
    evidence = Evidence(Estimates, join.epoch_ms, join.horizon_ms)
    labeler = Labeler(join, lambda *_: Session(), lambda *_: [], lambda _: None, evidence)
    return [label for event in events for label in labeler.fold(event)] + labeler.advance(10**9)


def taught(slates: list[LabeledSlate]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Of item `a`: the weight for each task less that against it, and what the ledger then has of it."""
    ledger, net, known = Ledger(10), dict.fromkeys(TASKS, 0.0), {}
    for slate in slates:
        for target in ledger.admit(slate):
            if target.item_id == "a":
                lessons = zip(TASKS, target.targets, target.weights, strict=True)
                net = {task: net[task] + (2 * said - 1) * weight for task, said, weight in lessons}
                known = dict(
                    zip(TASKS, zip(target.after.targets, target.after.weights, strict=True), strict=True)
                )
    return net, known


def test_a_bounce_is_taught_in_all_as_a_weak_negative_whatever_was_told_before():
    told = labels(*BOUNCE)
    assert [label.revision for label in told] == [0, 6]
    assert told[0].outcomes[0].bounce == 0
    assert told[0].outcomes[0].clicked
    regretted = told[1].outcomes[0]
    assert (regretted.clicked, regretted.bounce, regretted.weight) == (True, WEIGHT, 1.0)
    for path in (told, told[1:]):
        net, known = taught(path)
        assert net == pytest.approx({"click": -WEIGHT, "satisfied": -1, "like": -1, "negative": -1})
        assert known["click"] == (0, pytest.approx(WEIGHT))
        assert known["satisfied"] == (0, 1)


@pytest.mark.parametrize(("said", "liked", "complained"), [(REPORT, -1, 1), (LIKE, 1, -1)])
def test_what_the_user_says_comes_first_and_counts_in_full(said, liked, complained):
    told = labels(*BOUNCE, said)
    net, _ = taught(told)
    assert told[-1].outcomes[0].bounce == 0
    assert (net["click"], net["like"], net["negative"]) == (1, liked, complained)


def test_a_longer_stay_that_comes_too_late_makes_a_click_of_it_again():
    told = labels(*BOUNCE, dwell("r", 1_500, 18_000))
    assert [label.outcomes[0].bounce for label in told] == [0, WEIGHT, 0]
    assert taught(told)[1]["click"] == (1, 1)


def test_without_a_weight_a_bounce_is_a_click_as_any_other():
    assert Rules().bounce_weight == 0
    told = labels(*BOUNCE, weight=0)
    net, known = taught(told)
    assert net["click"] == 1
    assert known["click"] == (1, 1)
    assert b"bounce" not in b"".join(map(encode, told))
