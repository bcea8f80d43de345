"""Our ADWIN agrees with river's, and can be interrupted."""

import numpy as np
import pytest
from numpy.typing import NDArray
from river.drift import ADWIN

from learner.drift import Adwin


def losses(seed: int, *means: float, n: int = 800) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.clip(np.concatenate([rng.normal(mean, 0.1, n) for mean in means]), 0, 1)


def alarms(detector: Adwin, values: NDArray[np.float64]) -> list[int]:
    return [n for n, value in enumerate(values) if detector.fold([float(value)])]


@pytest.mark.parametrize("seed", range(5))
def test_a_change_is_noticed_at_the_same_value_as_by_river(seed: int) -> None:
    values, river = losses(seed, 0.4, 0.55), ADWIN(clock=1)
    theirs = []
    for n, value in enumerate(values):
        river.update(float(value))
        if river.drift_detected:
            theirs.append(n)
    assert alarms(Adwin(), values)[:1] == theirs[:1]


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_loss_raises_no_alarm(seed: int) -> None:
    assert alarms(Adwin(), losses(seed, 0.4, n=3_000)) == []


def test_a_change_tells_which_way_it_went() -> None:
    detector = Adwin()
    changes = [c for value in losses(0, 0.3, 0.6, 0.3) if (c := detector.fold([float(value)]))]
    assert [change.after > change.before for change in changes] == [True, False]


def test_the_window_costs_the_same_whatever_its_length() -> None:
    detector = Adwin()
    alarms(detector, losses(1, 0.5, n=5_000))
    assert len(detector) == 5_000
    assert len(detector.snapshot()) <= 48


def test_resuming_equals_running_through() -> None:
    values = losses(2, 0.4, 0.6)
    through, first, resumed = Adwin(), Adwin(), Adwin()
    expected = alarms(through, values)
    before = alarms(first, values[:700])
    resumed.restore(first.snapshot())
    assert before + [700 + n for n in alarms(resumed, values[700:])] == expected
    assert resumed.snapshot() == through.snapshot()


def test_values_may_come_in_batches_of_any_size() -> None:
    values, detector = losses(3, 0.4, 0.55), Adwin()
    sizes = np.random.default_rng(0).integers(0, 60, size=200)
    starts = np.cumsum(sizes) - sizes
    batches = zip(starts, sizes, strict=True)
    noticed = [int(start) for start, size in batches if detector.fold(list(values[start : start + size]))]
    assert len(noticed) == 1
    assert 800 <= noticed[0] < 900
