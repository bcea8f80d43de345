"""One account in twenty is a robot: what is learned of the item that they push is nearly what it would be.

Its place here is that in a list by click rates, the same for everybody; what the online learner makes of it
in the lists of honest users takes minutes, and is `tests.bench.attack`.
"""

import msgspec
import numpy as np
import pytest

from schemas.codec import encode
from schemas.labels import LabeledSlate, Session
from stream.offline import TOPICS
from tests.planted_attack import KINDS, Attack, attack, click_rates, labels, partition, place, trust_of


@pytest.mark.parametrize("kind", KINDS)
def test_trust_takes_nearly_all_of_an_attack_away_and_leaves_people_alone(kind):
    planted = attack(kind, n_slates=4_000, seed=1)
    quiet = labels(planted, planted.honest, trust=True)
    attacked, defended = (labels(planted, planted.attacked, trust=trust) for trust in (False, True))
    rates = [click_rates(told) for told in (quiet, attacked, defended)]
    before, moved, held = (one[planted.target] for one in rates)
    assert moved > before + 0.3
    assert abs(held - before) < 0.05 * (moved - before)
    before, moved, held = (place(one, planted.target) for one in rates)
    assert moved < before - 30
    assert abs(held - before) < 0.1 * (before - moved)
    people, robots = (np.array(trust_of(defended, who)) for who in ("user", "robot"))
    assert (people < 0.5).mean() < 0.005
    assert robots[len(robots) // 2 :].mean() < 0.5


def test_what_is_taken_back_is_taken_back_whatever_crashes():
    planted = attack(KINDS[0], n_slates=2_000, seed=2, n_users=120)
    whole = taken_back(labels(planted, planted.attacked, trust=True))
    assert len(whole) > 20
    assert taken_back(told_by_mortals(planted, np.random.default_rng(0))) == whole


def taken_back(told: list[LabeledSlate]) -> dict[str, bytes]:
    """The revisions after the final one, without the sessions, which crashes lose here."""
    late = (one for one in told if one.revision > 2 * len(one.slate))
    return {one.label_id: encode(msgspec.structs.replace(one, session=Session())) for one in late}


def told_by_mortals(planted: Attack, rng: np.random.Generator) -> list[LabeledSlate]:
    """Label by workers that die one after the other; labels are lost that new evidence has not followed."""
    told: list[LabeledSlate] = []
    done: set[int] = set()
    evidence, fold, number = None, partition(planted, trust=True), 0
    events = planted.attacked
    while number < len(events):
        event = events[number]
        last = fold.fold(event, TOPICS[type(event)], number, 0)
        number += 1
        if number % 20:
            told += last
            continue
        last += fold.advance(0)
        taken = fold.take_evidence()
        evidence = taken or evidence
        if taken is not None:
            told += last
            last = []
        if rng.random() < 0.05:
            fold, number = partition(planted, trust=True), max(done, default=-1) + 1
            if evidence is not None:
                fold.restore_evidence(evidence)
        else:
            told += last
            done.update(fold.done_tokens())
    return told + fold.drain()
