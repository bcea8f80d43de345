"""The count-min sketch: never too low, seldom much too high, and fading."""

import numpy as np
import pytest

from learner.frequencies import CountMin


def test_shares_are_never_below_the_truth_and_close_to_it() -> None:
    rng = np.random.default_rng(0)
    keys = rng.zipf(1.3, 20_000) % 5_000
    sketch = CountMin(bits=12)
    for part in np.split(keys, 20):
        sketch.add(part)
    counted, truth = np.unique(keys, return_counts=True)
    above = sketch.shares(counted) - truth / len(keys)
    assert above.min() >= -1e-6
    assert above.max() < 2.72 / 2**12


def test_old_counts_fade() -> None:
    sketch = CountMin(horizon=100)
    sketch.add(np.full(100, 1))
    for _ in range(8):
        sketch.add(np.full(60, 2))
    assert sketch.shares(np.array([1]))[0] < 0.1


def test_restoring_is_as_if_nothing_had_happened() -> None:
    sketch, other = CountMin(), CountMin()
    sketch.add(np.arange(50))
    other.restore(sketch.snapshot())
    other.add(np.array([3]))
    sketch.add(np.array([3]))
    assert other.shares(np.array([3])) == pytest.approx(sketch.shares(np.array([3])))
