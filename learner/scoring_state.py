"""PURE: what a checkpoint carries: live triplets, and the rows of ids touched since its parent.

Tensor names: `dense.<layer>.<P|lam|Q|live>`, `dense.intercept`, `ids.<index>`, `rows.<table>`,
`counts.<index>`.
Rows are keyed by id, not by number, so learner and scorer may number them differently.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
import torch
from torch import Tensor

from learner.adapter import LowRankEmbedding, LowRankLinear, low_rank_layers
from learner.counters import WIDTH, Counters
from learner.knowledge import Knowledge
from learner.ranker import TABLES, Ranker
from learner.rows import Vocabulary
from schemas.errors import CheckpointRefused

Touched = Mapping[str, set[int]]
"""Row numbers by index name."""


def extract(ranker: Ranker, knowledge: Knowledge, touched: Touched) -> dict[str, Tensor]:
    """The scoring state of an adapted ranker, on the CPU; weights of rows in half precision, λ in full."""
    tensors = {"dense.intercept": ranker.heads.intercept.detach().cpu().clone()}
    layers = low_rank_layers(ranker)
    for name, layer in layers.items():
        tensors |= _extract_dense(name, layer)
    rows = {
        index: torch.tensor(sorted(touched[index] - {0}), dtype=torch.int64) for index in Vocabulary.NAMES
    }
    for index, numbers in rows.items():
        tensors[f"ids.{index}"] = _pack_ids(
            [knowledge.vocabulary.index(index).id_of(int(n)) for n in numbers]
        )
    for table, index in TABLES.items():
        layer = layers[table]
        assert isinstance(layer, LowRankEmbedding)
        tensors[f"rows.{table}"] = layer.a.detach()[rows[index].to(layer.a.device)].cpu().half()
    for index, counts in knowledge.counters.tables.items():
        tensors[f"counts.{index}"] = torch.from_numpy(counts[rows[index].numpy()])
    tensors["counts.totals"] = torch.from_numpy(knowledge.counters.totals.copy())
    return tensors


def _extract_dense(name: str, layer: LowRankLinear | LowRankEmbedding) -> dict[str, Tensor]:
    live = (layer.lam.detach() != 0).cpu()
    kept = {
        f"dense.{name}.live": live.to(torch.uint8),
        f"dense.{name}.lam": layer.lam.detach().cpu()[live].clone(),
        f"dense.{name}.Q": layer.Q.detach().cpu()[live].clone(),
    }
    if isinstance(layer, LowRankLinear):
        kept[f"dense.{name}.P"] = layer.P.detach().cpu()[:, live].contiguous()
    return kept


@torch.no_grad()
def apply(ranker: Ranker, knowledge: Knowledge, tensors: Mapping[str, Tensor]) -> None:
    """Put an extracted scoring state into an adapted ranker and its knowledge, in place.

    Raises:
        CheckpointRefused: a tensor is missing or does not fit.
    """
    try:
        ranker.heads.intercept.copy_(tensors["dense.intercept"])
        for name, layer in low_rank_layers(ranker).items():
            _apply_dense(name, layer, tensors)
        rows = {index: _rows(knowledge, index, tensors) for index in Vocabulary.NAMES}
        for table, index in TABLES.items():
            layer = low_rank_layers(ranker)[table]
            assert isinstance(layer, LowRankEmbedding)
            kept = rows[index] > 0
            values = tensors[f"rows.{table}"][kept].to(layer.a)
            layer.a[rows[index][kept].to(layer.a.device)] = values
        for index, counts in knowledge.counters.tables.items():
            kept = rows[index] > 0
            counts[rows[index][kept].numpy()] = tensors[f"counts.{index}"][kept].numpy()
        knowledge.counters.totals[:] = tensors["counts.totals"].numpy()
    except (KeyError, RuntimeError, IndexError) as error:
        raise CheckpointRefused(
            f"checkpoint: expected the tensors of this base's adapter, got {error}"
        ) from error


def _apply_dense(name: str, layer: LowRankLinear | LowRankEmbedding, tensors: Mapping[str, Tensor]) -> None:
    live = tensors[f"dense.{name}.live"].bool().to(layer.lam.device)
    layer.lam.zero_()
    layer.lam[live] = tensors[f"dense.{name}.lam"].to(layer.lam)
    layer.Q[live] = tensors[f"dense.{name}.Q"].to(layer.Q)
    if isinstance(layer, LowRankLinear):
        layer.P[:, live] = tensors[f"dense.{name}.P"].to(layer.P)


def _rows(knowledge: Knowledge, index: str, tensors: Mapping[str, Tensor]) -> Tensor:
    ids = _unpack_ids(tensors[f"ids.{index}"])
    return torch.from_numpy(knowledge.vocabulary.index(index).rows(ids, admit=True).astype(np.int64))


def _pack_ids(ids: list[str]) -> Tensor:
    return torch.frombuffer(bytearray(msgspec.json.encode(ids)), dtype=torch.uint8)


def _unpack_ids(packed: Tensor) -> list[str]:
    try:
        return msgspec.json.decode(packed.numpy().tobytes(), type=list[str])
    except msgspec.DecodeError as error:
        raise CheckpointRefused(f"checkpoint: expected a JSON list of ids, got {error}") from error


def adapter_rank(tensors: Mapping[str, Tensor]) -> int:
    """The rank, dead triplets included, of the adapter that a scoring state was taken from."""
    return tensors["dense.tower.text.live"].numel()


def expected_shapes(ranker: Ranker) -> dict[str, tuple[int | None, ...]]:
    """The tensors that a scoring state for this base's ranker must hold; None where a size is free."""
    shapes: dict[str, tuple[int | None, ...]] = {"dense.intercept": tuple(ranker.heads.intercept.shape)}
    for name, layer in ranker.named_modules():
        if isinstance(layer, torch.nn.Linear):
            shapes[f"dense.{name}.P"] = (layer.out_features, None)
        if isinstance(layer, torch.nn.Linear) or name in TABLES:
            width = layer.in_features if isinstance(layer, torch.nn.Linear) else layer.embedding_dim
            shapes |= {
                f"dense.{name}.Q": (None, width),
                f"dense.{name}.lam": (None,),
                f"dense.{name}.live": (None,),
            }
    shapes |= {f"rows.{table}": (None, None) for table in TABLES}
    shapes |= {f"ids.{index}": (None,) for index in Vocabulary.NAMES}
    shapes |= {f"counts.{index}": (None, WIDTH) for index in Counters.NAMES}
    return shapes | {"counts.totals": (WIDTH,)}
