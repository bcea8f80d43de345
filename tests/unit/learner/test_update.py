"""What moves the weights: drifts, closeness to what was published, and that all of it can be interrupted."""

import numpy as np
import pytest

from learner.online import OnlineLearner
from learner.query import Query
from learner.scorer import score
from learner.update import UpdateSettings
from tests.tastes import ITEMS, base, born, slates, turned
from tests.tiny import embed

BATCH = 32


def learner(**settings: float) -> OnlineLearner:
    defaults = {"allocate_every": 3, "descent_examples": 400, "memory": 256, "memory_horizon": 512}
    online = OnlineLearner(base(), embed, UpdateSettings(**(defaults | settings)), seed=0)
    online.put_items(ITEMS)
    return online


def drifted(online: OnlineLearner, taste: object, n: int, first: int) -> list[bool]:
    stream = slates(n, 5, taste, first=first)
    return [online.learn(stream[start : start + BATCH]).drifted for start in range(0, n, BATCH)]


def shown_to(online: OnlineLearner) -> np.ndarray:
    ask = [
        Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=s.slate) for s in slates(40, 9, born)
    ]
    return np.concatenate(score(online.ranker, online.knowledge, ask, "cpu"))


def test_a_change_of_tastes_is_noticed_and_lifts_the_budget_again() -> None:
    online = learner()
    assert not any(drifted(online, born, 640, first=10_000))
    low = online._updater.allocator.places
    batches = (slates(BATCH, 5, turned, first=20_000 + start) for start in range(0, 320, BATCH))
    assert any(online.learn(batch).drifted for batch in batches if online._updater.allocator.places <= low)
    assert online._updater.allocator.places > low


def test_without_an_alarm_there_is_no_drift() -> None:
    online = learner(alarm=0.0)
    assert not any(drifted(online, born, 320, first=10_000) + drifted(online, turned, 320, first=20_000))


def test_an_alarm_speeds_up_learning() -> None:
    losses = []
    for alarm in (0.0, 0.002):
        online = learner(alarm=alarm, descent_examples=20_000)
        drifted(online, born, 320, first=10_000)
        drifted(online, turned, 640, first=20_000)
        losses.append(online.learn(slates(BATCH, 6, turned, first=30_000)).loss)
    assert losses[1] < 0.9 * losses[0]


def test_closeness_keeps_the_predictions_near_the_published_ones() -> None:
    moved = []
    for closeness in (0.0, 30.0):
        online = learner(closeness=closeness, step=1e-3, row_step=0.015, replay=1.0, alarm=0.0)
        drifted(online, born, 320, first=10_000)
        online.checkpoint()
        published = shown_to(online)
        drifted(online, turned, 160, first=20_000)
        moved.append(np.abs(shown_to(online) - published).mean())
    assert moved[1] < 0.8 * moved[0]


@pytest.mark.parametrize("closeness", [0.0, 1.0])
def test_resuming_within_a_drift_equals_running_through(closeness: float) -> None:
    through = learner(closeness=closeness)
    drifted(through, born, 320, first=10_000)
    through.checkpoint()
    drifted(through, turned, 160, first=20_000)
    resumed = learner(closeness=closeness)
    resumed.restore(through.snapshot())
    resumed.put_items(ITEMS)
    for online in (through, resumed):
        drifted(online, turned, 160, first=30_000)
    assert through.snapshot() == resumed.snapshot()
