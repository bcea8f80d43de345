"""What a checkpoint's numbers lose on their way, and what they cost."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.compact import dequantise, gaps, halve, numbers_of, pack_ids, quantise, unpack_ids
from schemas.errors import CheckpointRefused


@given(st.integers(0, 2**31), st.integers(0, 20), st.floats(1e-3, 1e3))
def test_a_quantised_row_is_off_by_half_a_step(seed: int, n: int, size: float) -> None:
    rows = size * torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    entries, step = quantise(rows)
    assert entries.dtype == torch.int8
    off = (dequantise(entries, step) - rows).abs()
    assert bool((off <= 0.51 * step.float()[:, None] + 1e-6).all())


def test_rows_of_zeros_stay_zero() -> None:
    assert dequantise(*quantise(torch.zeros(3, 4))).count_nonzero() == 0


@pytest.mark.parametrize("largest", [0.25, 2_048.0, 1e6, 3e9])
def test_halved_columns_keep_ten_bits_and_never_overflow(largest: float) -> None:
    columns = torch.tensor([[0.0, largest], [3.0, largest / 7]])
    halves, powers = halve(columns)
    assert bool(torch.isfinite(halves).all())
    torch.testing.assert_close(halves.float() * powers, columns, rtol=1e-3, atol=0)


@given(st.sets(st.integers(1, 2**20)))
def test_gaps_give_back_the_numbers(numbers: set[int]) -> None:
    ordered = torch.tensor(sorted(numbers), dtype=torch.int64)
    assert torch.equal(numbers_of(gaps(ordered)), ordered)


@given(st.lists(st.text()))
def test_ids_come_back(ids: list[str]) -> None:
    ids = [one.encode(errors="replace").decode() for one in ids]
    assert unpack_ids(pack_ids(ids)) == ids


def test_bytes_that_are_no_ids_are_refused() -> None:
    with pytest.raises(CheckpointRefused, match="list of ids"):
        unpack_ids(torch.tensor([1, 2], dtype=torch.uint8))
