"""River's models, read as arrays, say what River says; hashed features tell apart what they should."""

import numpy as np
import pytest
from river import facto, linear_model, optim

from learner.hashing import BUCKETS, NOTHING, Hasher, code, cross
from learner.query import Query
from learner.river_arms import Factorization, Logistic
from schemas.events import Item
from schemas.labels import Session

ITEMS = [
    Item(item_id="a", ts=0, title="A", tags=["t1", "t2"], attributes={"author": "x"}, duration_ms=10_000.0),
    Item(item_id="b", ts=0, title="B", tags=["t1"], attributes={"author": "y"}),
]
LESSONS = [([1, 2, 3], True), ([1, 4], False), ([2, 4, 5], True), ([1, 2, 3], True), ([3, 5], False)]


def query(*items: str, user: str = "u", surface: str = "s") -> Query:
    return Query(user_id=user, session=Session(), ts=3_600_000, candidates=items, surface=surface)


@pytest.mark.parametrize("features", [[1, 2], [3, 4, 5], [1, 5]])
def test_logistic_regression_agrees_with_river(features: list[int]) -> None:
    ours = Logistic(step=0.1)
    theirs = linear_model.LogisticRegression(optimizer=optim.AdaGrad(0.1), intercept_lr=0.01)
    for lesson, target in LESSONS:
        ours.learn(lesson, target, 1.0)
        theirs.learn_one(dict.fromkeys(lesson, 1.0), target)
    p = 1 / (1 + np.exp(-ours.logits(np.array([features]))[0]))
    assert p == pytest.approx(theirs.predict_proba_one(dict.fromkeys(features, 1.0))[True], abs=1e-6)


@pytest.mark.parametrize("features", [[1, 2], [3, 4, 5], [1, 5]])
def test_a_factorization_machine_agrees_with_river(features: list[int]) -> None:
    ours = Factorization(seed=3)
    theirs = facto.FMClassifier(**ours.describe())
    for lesson, target in LESSONS:
        ours.learn(lesson, target, 1.0)
        theirs.learn_one(dict.fromkeys(lesson, 1.0), target)
    p = 1 / (1 + np.exp(-ours.logits(np.array([features]))[0]))
    assert p == pytest.approx(theirs.predict_proba_one(dict.fromkeys(features, 1.0))[True], abs=1e-5)


def test_an_empty_slot_crosses_with_nothing() -> None:
    assert cross(np.array([NOTHING, 7]), np.array([7, 7])).tolist()[0] == NOTHING
    assert 0 < cross(np.array([7]), np.array([8]))[0] < BUCKETS


def test_features_tell_users_items_and_surfaces_apart() -> None:
    hasher = Hasher(ITEMS, crosses=True)
    one, other = hasher(query("a", "b"))
    assert len(set(one) - {NOTHING}) > len(set(other) - {NOTHING})
    assert set(one) & set(other) >= {code("user=u"), code("surface=s"), code("tag=t1")}
    assert not set(hasher(query("a", user="v"))[0]) >= set(one)


def test_an_item_that_the_catalogue_does_not_know_is_itself_alone() -> None:
    row = Hasher(ITEMS, crosses=False)(query("new"))[0]
    assert {code("item=new"), code("user=u")} <= set(row)
