import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.memory import Codec, ReplayMemory

NUMBERS = Codec(lambda number: str(number).encode(), int)


def filled(capacity: int, horizon: int, arrivals: int, seed: int = 0) -> ReplayMemory[int]:
    memory = ReplayMemory(capacity, horizon, NUMBERS)
    rng = np.random.default_rng(seed)
    for number in range(arrivals):
        memory.add(number, rng)
    return memory


def contents(memory: ReplayMemory[int]) -> list[int]:
    return [int(item) for item in memory.snapshot()]


@given(st.integers(1, 20), st.integers(0, 100))
def test_it_never_holds_more_than_its_capacity(capacity: int, arrivals: int) -> None:
    assert len(filled(capacity, 2 * capacity, arrivals)) == min(capacity, arrivals)


def test_until_full_it_holds_everything() -> None:
    assert contents(filled(10, 100, 10)) == list(range(10))


def test_membership_falls_exponentially_with_age() -> None:
    capacity, horizon, arrivals = 200, 400, 4000
    ages = [
        arrivals - 1 - n for seed in range(20) for n in contents(filled(capacity, horizon, arrivals, seed))
    ]
    # Exponential law: the mean age is the horizon, and a share of 1 − 1/e is younger than it.
    assert np.mean(ages) == pytest.approx(horizon, rel=0.1)
    assert np.mean(np.array(ages) < horizon) == pytest.approx(1 - np.exp(-1), rel=0.05)


def test_sampling_is_uniform_over_what_is_held_and_repeats_with_the_generator() -> None:
    memory = filled(5, 5, 5)
    drawn = memory.sample(5000, np.random.default_rng(1))
    assert np.bincount(drawn).tolist() == pytest.approx([1000] * 5, rel=0.1)
    assert drawn == memory.sample(5000, np.random.default_rng(1))


@pytest.mark.parametrize("asked", [0.5, 2.25])
def test_a_fraction_of_an_item_is_drawn_with_that_probability(asked: float) -> None:
    memory, rng = filled(5, 5, 5), np.random.default_rng(1)
    drawn = [len(memory.sample(asked, rng)) for _ in range(4000)]
    assert set(drawn) == {int(asked), int(asked) + 1}
    assert np.mean(drawn) == pytest.approx(asked, rel=0.05)


def test_an_empty_memory_gives_nothing() -> None:
    assert ReplayMemory(1, 1, NUMBERS).sample(3, np.random.default_rng(0)) == []


@given(st.integers(0, 60), st.integers(0, 60))
def test_restoring_anywhere_equals_running_through(before: int, after: int) -> None:
    rng = np.random.default_rng(3)
    through = filled(8, 16, 0)
    for number in range(before):
        through.add(number, rng)
    restored = ReplayMemory(8, 16, NUMBERS)
    restored.restore(through.snapshot())
    twin = np.random.default_rng()
    twin.bit_generator.state = rng.bit_generator.state
    for number in range(after):
        through.add(number, rng)
        restored.add(number, twin)
    assert restored.snapshot() == through.snapshot()


def test_a_horizon_below_the_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity ≤ horizon"):
        ReplayMemory(10, 5, NUMBERS)
