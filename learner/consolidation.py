"""PURE: the adapter folded into its base: W⁰ + PΛQ, W⁰ + Δ and E⁰ + aΛQ become the next lineage's W⁰ and E⁰.

Learner and scorers fold the same checkpoint, the bytes that were published, and so get the same base, bit by
bit: sums are taken in double precision on the CPU and rounded once.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.base import Base
from learner.compact import dequantise, numbers_of, unpack_ids
from learner.ranker import SMALL, TABLES
from learner.rows import Vocabulary
from learner.scoring_state import matrix_of
from schemas.errors import CheckpointRefused


def consolidate(base: Base, tensors: Mapping[str, Tensor]) -> Base:
    """The base that a full checkpoint with every row (`OnlineLearner.checkpoint`) and its base amount to.

    Raises:
        CheckpointRefused: it does not hold every row, or not those of this base.
    """
    ids = {index: _all_ids(base, index, tensors) for index in Vocabulary.NAMES}
    gone = {index: _gone(base, index, tensors) for index in Vocabulary.NAMES}
    weights = dict(base.weights) | {"heads.intercept": tensors["dense.intercept"].clone()}
    for name in (key.removesuffix(".P") for key in tensors if key.endswith(".P")):
        layer = f"{name.removeprefix('dense.')}.weight"
        weights[layer] = _add(base.weights[layer], matrix_of(tensors, f"{name}.P").mT.double(), name, tensors)
    for name in SMALL:
        old = base.weights[f"{name}.weight"].double()
        weights[f"{name}.weight"] = (old + matrix_of(tensors, f"dense.{name}.delta").double()).float()
    for table, index in TABLES.items():
        a = dequantise(tensors[f"rows.{table}"], tensors[f"steps.{table}"]).double()
        a = a[:, tensors[f"dense.{table}.live"].bool()]
        old = base.weights[f"{table}.weight"]
        rows = torch.zeros(1 + len(ids[index]), old.shape[1])
        rows[: len(old)] = old
        rows[gone[index]] = 0
        rows[1:] = _add(rows[1:], a, f"dense.{table}", tensors)
        weights[f"{table}.weight"] = rows
    return replace(
        base, ids=ids, weights=weights, counts=_counts(base, tensors), ranking=_ranking(base, tensors)
    )


def _add(weight: Tensor, left: Tensor, name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """W + left · diag(λ) · Q, rounded once."""
    right = tensors[f"{name}.lam"].double()[:, None] * matrix_of(tensors, f"{name}.Q").double()
    folded: Tensor = (weight.double() + left @ right).float()
    return folded


def _all_ids(base: Base, index: str, tensors: Mapping[str, Tensor]) -> list[str]:
    """Whose each row is: the checkpoint names what the base does not have, or another had there."""
    ids = dict(enumerate(base.ids.get(index, ()), start=1))
    ids |= zip(_named(index, tensors), unpack_ids(tensors[f"ids.{index}"]), strict=True)
    numbers = numbers_of(tensors[f"numbers.{index}"]).tolist()
    if not numbers == sorted(ids) == list(range(1, 1 + len(ids))):
        raise CheckpointRefused(
            f"consolidation: expected a checkpoint with all {len(ids)} rows of {index}, got {len(numbers)}"
        )
    return [ids[number] for number in numbers]


def _gone(base: Base, index: str, tensors: Mapping[str, Tensor]) -> list[int]:
    """Rows of the base that have another owner by now."""
    return [number for number in _named(index, tensors) if number <= len(base.ids.get(index, ()))]


def _named(index: str, tensors: Mapping[str, Tensor]) -> list[int]:
    named: list[int] = numbers_of(tensors[f"named.{index}"]).tolist()
    return named


def _ranking(base: Base, tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    """What the checkpoint knows of affinities; its numbers are the rows of the new base."""
    known = {name: tensor.numpy() for name, tensor in tensors.items() if name in base.ranking}
    return dict(base.ranking) | known


def _counts(base: Base, tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.floating]]:
    counts: dict[str, NDArray[np.floating]] = {"totals": tensors["counts.totals"].numpy().copy()}
    for index in base.counts.keys() - {"totals"}:
        values = tensors[f"counts.{index}"].float() * tensors[f"powers.{index}"]
        counts[index] = torch.cat([values.new_zeros(1, values.shape[1]), values]).numpy()
    return counts
