from collections import Counter

import pytest

from learner.freshness import SAMPLES, TraceSample
from schemas.trace import Trace


def test_few_traces_are_all_kept_and_taken_once() -> None:
    sample = TraceSample(0)
    for event in range(5):
        sample.add(Trace(event=event))
    assert [trace.event for trace in sample.take()] == [0, 1, 2, 3, 4]
    assert sample.take() == []


def test_many_traces_have_an_equal_chance() -> None:
    kept: Counter[int] = Counter()
    for seed in range(400):
        sample = TraceSample(seed)
        for event in range(4 * SAMPLES):
            sample.add(Trace(event=event))
        taken = sample.take()
        assert len(taken) == SAMPLES
        kept.update(trace.event // SAMPLES for trace in taken if trace.event is not None)
    assert [kept[quarter] for quarter in range(4)] == pytest.approx([400 * SAMPLES / 4] * 4, rel=0.05)
