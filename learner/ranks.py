"""PURE: several learners as one: each takes the gradients of a share of the examples, all take the same step.

Every rank holds the whole state and sees every label, so ids have the same rows everywhere and counts are
complete; what is shared out is the work on the examples, which is nearly all of it.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Protocol, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Ranks(Protocol):
    """The learners that step together, seen from one of them."""

    rank: int
    size: int

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all ranks of a tensor that has one shape everywhere."""

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the vectors of all ranks, in their order; they may differ in length."""


class Alone:
    """One learner by itself."""

    rank = 0
    size = 1

    def sum(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the values of the only rank."""
        return [values]


ALONE: Ranks = Alone()


def share(ranks: Ranks, examples: Sequence[T]) -> Sequence[T]:
    """Return this rank's part; parts differ by one example at most, and one may be empty."""
    return examples[ranks.rank :: ranks.size]


def sum_gradients(ranks: Ranks, dense: Sequence[Tensor], rows: Sequence[Tensor], numbers: Tensor) -> Tensor:
    """Replace every parameter's gradient by its sum over the ranks; returns the sum of `numbers`, too.

    A parameter that no rank's loss reached keeps no gradient, as with one rank. Dense gradients go as one
    vector, those of tables as the rows that were touched.
    """
    if ranks.size == 1:
        return numbers
    reached = torch.tensor([float(p.grad is not None) for p in dense], device=numbers.device)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in dense]
    parts = [numbers, reached, *(gradient.flatten() for gradient in gradients)]
    summed = torch.split(ranks.sum(torch.cat(parts)), [part.numel() for part in parts])
    for parameter, some, values in zip(dense, summed[1].tolist(), summed[2:], strict=True):
        parameter.grad = values.view_as(parameter) if some else None
    _sum_rows(ranks, rows)
    return summed[0]


def _sum_rows(ranks: Ranks, tables: Sequence[Tensor]) -> None:
    """Sum sparse gradients: of each table its touched rows, and what is to be added to each."""
    touched = [_touched(table) for table in tables]
    counts = torch.tensor([len(indices) for indices, _ in touched], device=tables[0].device)
    all_indices = ranks.gather(torch.cat([counts, *(indices for indices, _ in touched)]))
    all_values = ranks.gather(torch.cat([values.flatten() for _, values in touched]))
    n = len(tables)
    indices = [_cut(of_rank[n:], of_rank[:n].tolist()) for of_rank in all_indices]
    values = [
        _cut(of_rank, [int(count) * table.shape[1] for count, table in zip(sizes[:n], tables, strict=True)])
        for of_rank, sizes in zip(all_values, all_indices, strict=True)
    ]
    for number, table in enumerate(tables):
        where = torch.cat([of_rank[number] for of_rank in indices])
        what = torch.cat([of_rank[number] for of_rank in values]).view(-1, table.shape[1])
        table.grad = torch.sparse_coo_tensor(where[None], what, table.shape, check_invariants=False)


def _touched(table: Tensor) -> tuple[Tensor, Tensor]:
    if table.grad is None:
        nothing = torch.zeros(0, dtype=torch.int64, device=table.device)
        return nothing, table.new_zeros(0, table.shape[1])
    gradient = table.grad.coalesce()
    return gradient.indices()[0], gradient.values()


def _cut(values: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Cut a vector into pieces of these sizes; a `split` that minds no empty ones."""
    return [values[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]
