"""Rows of a bounded table: who gets one, and whose."""

import numpy as np
import pytest

from learner.rows import RowIndex
from learner.turnover import Turnover


def turning(capacity: int = 4, admit_after: int = 1) -> tuple[RowIndex, Turnover]:
    index = RowIndex(capacity)
    index.turnover = Turnover(admit_after, np.zeros(capacity, np.bool_))
    return index, index.turnover


def meet(index: RowIndex, *keys: str) -> list[int]:
    """One label."""
    assert index.turnover is not None
    index.turnover.clock += 1
    return index.meet(keys).tolist()


def test_a_new_id_gets_the_row_that_was_not_touched_for_longest() -> None:
    index, turnover = turning()
    for key in "abca":
        meet(index, key)
    assert meet(index, "d") == [2]
    assert (index.lookup("b"), index.id_of(2), turnover.drain().tolist()) == (0, "d", [2])
    assert meet(index, "e") == [3]


def test_no_row_of_the_same_label_nor_a_held_one_is_given_away() -> None:
    index, _ = turning()
    assert meet(index, *"abcd") == [1, 2, 3, 0]
    held = np.array([False, True, True, True])
    index.turnover = Turnover(1, held)
    assert meet(index, "e") == [0]
    held[2] = False
    assert meet(index, "e") == [2]


def test_an_id_waits_until_it_was_met_often_enough_once_a_label() -> None:
    index, turnover = turning(admit_after=3)
    assert [meet(index, "a", "a") for _ in range(3)] == [[0, 0], [0, 0], [1, 1]]
    for key in "bcdefg":
        meet(index, key)
    assert [key for key, _, _ in turnover.waiting()] == list("defg")


@pytest.mark.parametrize("admit_after", [1, 2])
def test_a_restored_index_goes_on_like_its_original(admit_after: int) -> None:
    rng = np.random.default_rng(0)
    labels = [[f"k{n}" for n in rng.integers(12, size=2)] for _ in range(120)]
    through, turnover = turning(8, admit_after)
    for keys in labels[:60]:
        meet(through, *keys)
    again, its = turning(8, admit_after)
    again.restore(through.snapshot())
    its.restore(turnover.snapshot(), turnover.waiting())
    assert [meet(again, *keys) for keys in labels[60:]] == [meet(through, *keys) for keys in labels[60:]]
    assert again.snapshot() == through.snapshot()


def test_a_table_never_grows_beyond_its_bound() -> None:
    index, _ = turning(capacity=300)
    for n in range(2_000):
        [row] = meet(index, f"k{n}")
        assert 0 < row < 300
    assert len(index) == 300
    assert [index.lookup(f"k{n}") > 0 for n in (1_700, 1_701, 1_999)] == [False, True, True]
