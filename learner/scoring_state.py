"""PURE: what a checkpoint carries: live triplets, and the rows of ids touched since its parent.

Rows travel under the learner's numbers. The base's ids have the same number everywhere, until one is given
to another; any other is named once, in the first checkpoint since the last full one that carries it, and a
scorer keeps what each number stands for. Tensor names:
`dense.<layer>.<P|lam|Q|live>` or, of a layer that moves in full, `dense.<layer>.delta`; `.steps` behind P, Q
and delta; `dense.intercept`, `numbers.<index>`, `named.<index>`, `ids.<index>`, `rows.<table>`,
`steps.<table>`, `counts.<index>`, `powers.<index>`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.adapter import AdaptedLayer, DenseLinear, LowRankEmbedding, LowRankLinear, adapted_layers
from learner.compact import dequantise, gaps, halve, numbers_of, pack_ids, quantise, unpack_ids
from learner.counters import WIDTH, Counters
from learner.knowledge import Knowledge
from learner.ranker import SMALL, TABLES, Ranker
from learner.ranking_state import apply_ranking, extract_ranking, ranking_shapes
from learner.rows import Vocabulary
from schemas.errors import CheckpointRefused

Touched = Mapping[str, set[int]]
"""Row numbers by index name."""

Numbering = Mapping[str, NDArray[np.int64]]
"""By index name: the own row that each of the learner's numbers stands for; 0 where it is not known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Copy:
    """A copy of the scoring state, which training does not change.

    `dense` has dead triplets, too: to leave them out is for `pack`, beside training. `numbers` are the rows
    carried, by index; `names` the ids of those that need naming, by number. `counts` has the counts of the
    rows carried, and the `totals`; `ranking` what `learner.ranking_state` says.
    """

    dense: Mapping[str, Tensor]
    numbers: Mapping[str, Tensor]
    names: Mapping[str, Mapping[int, str]]
    rows: Mapping[str, Tensor]
    counts: Mapping[str, Tensor]
    ranking: Mapping[str, Tensor] = field(default_factory=dict)

    def not_finite(self) -> list[str]:
        """Names of the tensors that hold a NaN or an infinity."""
        every = {**self.dense, **self.rows, **self.counts, **self.ranking}
        # Training waits for this: all numbers at once, and one by one only where it matters.
        if bool(torch.isfinite(torch.cat([tensor.flatten().float() for tensor in every.values()])).all()):
            return []
        return [name for name, tensor in every.items() if not bool(torch.isfinite(tensor).all())]

    def ranks(self) -> dict[str, int]:
        """How many triplets live in each adapted layer."""
        return {
            name.removeprefix("dense.").removesuffix(".lam"): int(tensor.count_nonzero())
            for name, tensor in self.dense.items()
            if name.endswith(".lam")
        }

    def pack(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint: directions and rows in whole steps, counts in half precision."""
        return (
            dict(_pack_dense(self.dense))
            | dict(_pack_numbers(self.numbers, self.names))
            | dict(_pack_rows(self.rows))
            | dict(_pack_counts(self.counts))
            | dict(self.ranking)
        )


def extract(
    ranker: Ranker,
    knowledge: Knowledge,
    touched: Touched,
    unnamed: Touched,
    full: bool,
    numbering: Numbering | None = None,
) -> Copy:
    """Copy the scoring state of an adapted ranker to the CPU. The only part that training must wait for.

    Numbers are those of its rows, or stand for the rows that `numbering` says, as it would for `apply`.
    """
    layers = adapted_layers(ranker)
    numbers = {index: _sorted(touched[index]) for index in Vocabulary.NAMES}
    own = {
        index: rows if numbering is None else _own(numbering[index], rows) for index, rows in numbers.items()
    }
    dense = {"dense.intercept": ranker.heads.intercept.detach().cpu().clone()}
    for name, layer in layers.items():
        dense |= dict(_copy_dense(name, layer))
    rows = {
        table: _table(layers, table).a.detach()[own[index].to(_table(layers, table).a.device)].cpu()
        for table, index in TABLES.items()
    }
    counters = knowledge.counters
    counts = {
        index: torch.from_numpy(table[own[index].numpy()]).float() for index, table in counters.tables.items()
    }
    counts["totals"] = torch.from_numpy(counters.totals.copy())
    return Copy(
        dense=dense,
        numbers=numbers,
        names={index: _names(knowledge, index, unnamed[index], numbering) for index in Vocabulary.NAMES},
        rows=rows,
        counts=counts,
        ranking=extract_ranking(knowledge.ranking, full, None if numbering is None else numbering["items"]),
    )


def _own(numbering: NDArray[np.int64], numbers: Tensor) -> Tensor:
    return torch.from_numpy(numbering[numbers.numpy()])


def _names(
    knowledge: Knowledge, index: str, unnamed: set[int], numbering: Numbering | None
) -> dict[int, str]:
    id_of = knowledge.vocabulary.index(index).id_of
    return {
        number: id_of(number if numbering is None else int(numbering[index][number]))
        for number in sorted(unnamed)
    }


@torch.no_grad()
def apply(
    ranker: Ranker, knowledge: Knowledge, tensors: Mapping[str, Tensor], numbering: Numbering, full: bool
) -> Numbering:
    """Put a checkpoint's tensors into an adapted ranker and its knowledge, in place.

    `numbering` is that of the checkpoint's parent, or the base's. The vocabulary's clock should have ticked
    since anything else was applied. Returns the checkpoint's own numbering.

    Raises:
        CheckpointRefused: a tensor is missing or does not fit.
    """
    try:
        ranker.heads.intercept.copy_(tensors["dense.intercept"])
        layers = adapted_layers(ranker)
        for name, layer in layers.items():
            _apply_dense(name, layer, tensors)
        known = {
            index: _name(ranker, knowledge, index, tensors, numbering[index]) for index in Vocabulary.NAMES
        }
        own = {index: known[index][numbers_of(tensors[f"numbers.{index}"]).numpy()] for index in known}
        for table, index in TABLES.items():
            _apply_rows(
                _table(layers, table), tensors[f"rows.{table}"], tensors[f"steps.{table}"], own[index]
            )
        _apply_counts(knowledge.counters, tensors, own)
        if knowledge.ranking is not None:
            apply_ranking(knowledge.ranking, tensors, known["items"], full)
    except (KeyError, RuntimeError, IndexError) as error:
        raise CheckpointRefused(
            f"checkpoint: expected the tensors of this base's adapter, got {error}"
        ) from error
    return known


def base_numbering(knowledge: Knowledge, ids: Mapping[str, Sequence[str]]) -> Numbering:
    """What the numbers of a base's rows stand for: the rows that its `ids` have now; 0: none."""
    numbering = {}
    for index in Vocabulary.NAMES:
        rows, known = knowledge.vocabulary.index(index), ids.get(index, ())
        numbering[index] = np.zeros(rows.capacity, np.int64)
        numbering[index][1 : 1 + len(known)] = rows.rows(known)
    return numbering


def number_again(
    knowledge: Knowledge, ids: Mapping[str, Sequence[str]], tensors: Mapping[str, Tensor]
) -> Numbering:
    """As `base_numbering`, under a full checkpoint: 0 too for numbers that it names, which are another's.

    An id of the base that has lost its row here, but not in the learner, is given one. No row is taken from
    an id of the checkpoint.
    """
    numbering = base_numbering(knowledge, ids)
    for index, own in numbering.items():
        rows, known = knowledge.vocabulary.index(index), ids.get(index, ())
        named = numbers_of(tensors[f"named.{index}"]).numpy()
        own[named] = 0
        if rows.turnover is not None:
            rows.turnover.mark(own)
            rows.turnover.mark(rows.rows(unpack_ids(tensors[f"ids.{index}"])))
        lost = np.setdiff1d(np.flatnonzero(own[1 : 1 + len(known)] == 0) + 1, named)
        own[lost] = rows.rows([known[number - 1] for number in lost], admit=True)
    knowledge.vocabulary.drain()
    return numbering


def _sorted(numbers: set[int]) -> Tensor:
    rows = np.fromiter(numbers, np.int64, len(numbers))
    return torch.from_numpy(np.sort(rows[rows > 0]))


def _table(layers: Mapping[str, AdaptedLayer], name: str) -> LowRankEmbedding:
    layer = layers[name]
    assert isinstance(layer, LowRankEmbedding)
    return layer


def _copy_dense(name: str, layer: AdaptedLayer) -> Iterator[tuple[str, Tensor]]:
    for key in _copied(layer):
        yield f"dense.{name}.{key}", layer.get_parameter(key).detach().to("cpu", copy=True)


def _copied(layer: AdaptedLayer) -> tuple[str, ...]:
    if isinstance(layer, DenseLinear):
        return ("delta",)
    return ("P", "lam", "Q") if isinstance(layer, LowRankLinear) else ("lam", "Q")


def _pack_dense(dense: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Live triplets, a direction a row, and which they are; or Δ."""
    for name, tensor in dense.items():
        layer, _, key = name.rpartition(".")
        live = dense.get(f"{layer}.lam", tensor) != 0
        if key == "lam":
            yield f"{layer}.live", live.to(torch.uint8)
            yield name, tensor[live]
        elif key in ("P", "Q"):
            yield from _in_steps(name, (tensor.mT if key == "P" else tensor)[live])
        elif key == "delta":
            yield from _in_steps(name, tensor)
        else:
            yield name, tensor


def _in_steps(name: str, matrix: Tensor) -> Iterator[tuple[str, Tensor]]:
    entries, steps = quantise(matrix)
    yield name, entries
    yield f"{name}.steps", steps


def matrix_of(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """A matrix that a checkpoint carries: Pᵀ [k, out] or Q [k, in] of the k live triplets, or Δ [out, in]."""
    return dequantise(tensors[name], tensors[f"{name}.steps"])


def _pack_numbers(
    numbers: Mapping[str, Tensor], names: Mapping[str, Mapping[int, str]]
) -> Iterator[tuple[str, Tensor]]:
    for index, rows in numbers.items():
        yield f"numbers.{index}", gaps(rows)
        yield f"named.{index}", gaps(torch.tensor(list(names[index]), dtype=torch.int64))
        yield f"ids.{index}", pack_ids(list(names[index].values()))


def _pack_rows(tables: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for table, rows in tables.items():
        entries, steps = quantise(rows)
        yield f"rows.{table}", entries
        yield f"steps.{table}", steps


def _pack_counts(tables: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for index, counts in tables.items():
        if index == "totals":
            yield "counts.totals", counts
            continue
        columns, powers = halve(counts)
        yield f"counts.{index}", columns
        yield f"powers.{index}", powers


def _apply_dense(name: str, layer: AdaptedLayer, tensors: Mapping[str, Tensor]) -> None:
    if isinstance(layer, DenseLinear):
        layer.delta.copy_(matrix_of(tensors, f"dense.{name}.delta"))
        return
    live = tensors[f"dense.{name}.live"].bool().to(layer.lam.device)
    layer.lam.zero_()
    layer.lam[live] = tensors[f"dense.{name}.lam"].to(layer.lam)
    layer.Q[live] = matrix_of(tensors, f"dense.{name}.Q").to(layer.Q)
    if isinstance(layer, LowRankLinear):
        layer.P[:, live] = matrix_of(tensors, f"dense.{name}.P").mT.to(layer.P)


def _name(
    ranker: Ranker,
    knowledge: Knowledge,
    index: str,
    tensors: Mapping[str, Tensor],
    numbering: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The numbering after this checkpoint's names; an id that has no row yet is given one.

    A number may have a new owner: its old one's row is as at birth from now on, and the first to be taken
    where the table is full.
    """
    named = numbers_of(tensors[f"named.{index}"]).numpy()
    ids = unpack_ids(tensors[f"ids.{index}"])
    rows = knowledge.vocabulary.index(index)
    known = numbering.copy()
    known[named] = 0
    if rows.turnover is not None:
        rows.turnover.mark(known)
    known[named] = rows.rows(ids, admit=True)
    given = np.zeros(0, np.int64) if rows.turnover is None else rows.turnover.drain()
    lost = np.union1d(numbering[named], given)
    if lost.any():
        _forget(ranker, knowledge, index, lost[lost > 0])
    return known


def _forget(ranker: Ranker, knowledge: Knowledge, index: str, rows: NDArray[np.int64]) -> None:
    """Let rows be as at birth; those that go on are carried by the same checkpoint."""
    reset(ranker, index, rows)
    knowledge.forget(index, rows)


@torch.no_grad()
def reset(ranker: Ranker, index: str, rows: NDArray[np.integer]) -> None:
    """Let rows of the tables of an index be nothing: what the stream has learned of them, and the base."""
    for table in (name for name, of in TABLES.items() if of == index):
        layer = ranker.get_submodule(table)
        places = torch.from_numpy(rows).long().to(ranker.heads.intercept.device)
        if isinstance(layer, LowRankEmbedding):
            layer.reset(places)
        else:
            layer.get_parameter("weight")[places] = 0


def _apply_rows(table: LowRankEmbedding, entries: Tensor, steps: Tensor, own: NDArray[np.int64]) -> None:
    kept = own > 0
    rows = dequantise(entries, steps)[kept].to(table.a)
    table.a[torch.from_numpy(own[kept]).to(table.a.device)] = rows


def _apply_counts(
    counters: Counters, tensors: Mapping[str, Tensor], own: Mapping[str, NDArray[np.int64]]
) -> None:
    for index, counts in counters.tables.items():
        kept = own[index] > 0
        values = (tensors[f"counts.{index}"].float() * tensors[f"powers.{index}"]).numpy()
        counts[own[index][kept]] = values[kept]
    counters.totals[:] = tensors["counts.totals"].numpy()


def adapter_rank(tensors: Mapping[str, Tensor]) -> int:
    """The rank, dead triplets included, of the adapter that a scoring state was taken from."""
    return tensors["dense.tower.text.live"].numel()


def expected_shapes(ranker: Ranker) -> dict[str, tuple[int | None, ...]]:
    """The tensors that a scoring state for this base's ranker must hold; None where a size is free."""
    shapes: dict[str, tuple[int | None, ...]] = {"dense.intercept": tuple(ranker.heads.intercept.shape)}
    for name, layer in ranker.named_modules():
        if isinstance(layer, torch.nn.Linear) and name in SMALL:
            shapes[f"dense.{name}.delta"] = (layer.out_features, layer.in_features)
            shapes[f"dense.{name}.delta.steps"] = (layer.out_features,)
            continue
        if isinstance(layer, torch.nn.Linear):
            shapes |= {f"dense.{name}.P": (None, layer.out_features), f"dense.{name}.P.steps": (None,)}
        if isinstance(layer, torch.nn.Linear) or name in TABLES:
            width = layer.in_features if isinstance(layer, torch.nn.Linear) else layer.embedding_dim
            shapes |= {
                f"dense.{name}.Q": (None, width),
                f"dense.{name}.Q.steps": (None,),
                f"dense.{name}.lam": (None,),
                f"dense.{name}.live": (None,),
            }
    shapes |= {f"rows.{table}": (None, None) for table in TABLES}
    shapes |= {f"steps.{table}": (None,) for table in TABLES}
    shapes |= {
        f"{kind}.{index}": (None,) for kind in ("numbers", "named", "ids") for index in Vocabulary.NAMES
    }
    shapes |= {f"counts.{index}": (None, WIDTH) for index in Counters.NAMES}
    shapes |= {f"powers.{index}": (WIDTH,) for index in Counters.NAMES}
    if ranker.settings.ranking:
        shapes |= ranking_shapes()
    return shapes | {"counts.totals": (WIDTH,)}
