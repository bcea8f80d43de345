import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.budget import FiniteBudget, HorizonFreeBudget, Standing, prune_and_regrow
from schemas.errors import SettingsError

STREAM = HorizonFreeBudget(initial=12, target=8, descent_examples=1000, exchange=0.25)


def standing(importance: list[float], live: list[int], pull: list[float]) -> Standing:
    return Standing(
        importance=torch.tensor(importance, dtype=torch.float32),
        live=torch.tensor(live, dtype=torch.bool),
        pull=torch.tensor(pull, dtype=torch.float32),
    )


def test_the_finite_budget_is_the_papers() -> None:
    budget = FiniteBudget(initial=12, target=8, t_init=10, t_final=20, total=130)
    assert [budget.places(step) for step in (0, 10, 60, 110, 130, 999)] == [12, 12, 8, 8, 8, 8]
    assert budget.places(35) == int(8 + 4 * 0.75**3)


@given(clocks=st.lists(st.integers(0, 10_000), min_size=2))
def test_a_stream_has_no_end_and_its_budget_only_falls(clocks: list[int]) -> None:
    places = [STREAM.places(clock) for clock in sorted(clocks)]
    assert places == sorted(places, reverse=True)
    assert all(STREAM.target <= count <= STREAM.initial for count in places)
    assert STREAM.places(10**12) == STREAM.target


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: HorizonFreeBudget(initial=4, target=8, descent_examples=10, exchange=0),
        lambda: HorizonFreeBudget(initial=8, target=4, descent_examples=0, exchange=0),
        lambda: HorizonFreeBudget(initial=8, target=4, descent_examples=10, exchange=1.5),
        lambda: FiniteBudget(initial=8, target=4, t_init=50, t_final=50, total=100),
    ],
)
def test_a_budget_that_cannot_work_is_refused(wrong) -> None:
    with pytest.raises(SettingsError, match=r"expected .* got"):
        wrong()


def test_the_least_important_gives_its_place_to_the_strongest_pull() -> None:
    choice = prune_and_regrow(standing([5, 1, 3, 9, 9], [1, 1, 1, 0, 0], [0, 0, 0, 1, 2]), 3, 1)
    assert choice.live.tolist() == [True, False, True, False, True]
    assert choice.regrown.tolist() == [False, False, False, False, True]


def test_free_places_go_to_the_dead_with_a_pull_only() -> None:
    choice = prune_and_regrow(standing([5, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 4, 0]), 5, 0)
    assert choice.live.tolist() == [True, True, False, True, False]


def test_during_the_descent_nothing_is_exchanged() -> None:
    scores = standing([float(i) for i in range(12)], [1] * 9 + [0] * 3, [1.0] * 12)
    assert not STREAM.choose(scores, 900).regrown[:9].any()
    assert STREAM.choose(scores, 900).live.sum() == STREAM.places(900)
    assert STREAM.choose(scores, 1000).regrown.sum() == 2


@given(
    triplets=st.lists(st.tuples(st.floats(0, 10), st.booleans(), st.floats(0, 10)), min_size=1, max_size=30),
    places=st.integers(0, 30),
    exchanged=st.integers(0, 30),
)
def test_a_choice_keeps_to_its_places(triplets, places: int, exchanged: int) -> None:
    importance, live, pull = zip(*triplets, strict=True)
    before = standing(list(importance), [int(alive) for alive in live], list(pull))
    choice = prune_and_regrow(before, places, exchanged)
    assert choice.live.sum() <= places
    assert not (choice.regrown & (before.live | (before.pull == 0))).any()
    assert not (choice.live & ~before.live & ~choice.regrown).any()
    wanted = min(places, int(before.live.sum()) + int((~before.live & (before.pull > 0)).sum()))
    assert choice.live.sum() == wanted
