"""PURE: numbers in few bytes: rows, counts, sorted numbers and ids, as a checkpoint carries them."""

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor

from schemas.errors import CheckpointRefused

_STEPS = 127
_HALF_MAX = 32_768.0


def quantise(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [n, k] as whole numbers from −127 to 127, and the half-precision step [n] of each row.

    An entry is off by at most half a step: 1/254 of the largest entry of its row.

    >>> quantise(torch.tensor([[1.0, -0.5], [0.0, 0.0]]))[0]
    tensor([[127, -64],
            [  0,   0]], dtype=torch.int8)
    """
    step = (rows.float().abs().amax(1) / _STEPS).half() if rows.numel() else rows.new_zeros(len(rows)).half()
    scale = torch.where(step > 0, step.float(), torch.inf)[:, None]
    return (rows.float() / scale).round().clamp(-_STEPS, _STEPS).to(torch.int8), step


def dequantise(entries: Tensor, step: Tensor) -> Tensor:
    """The rows [n, k], float32, that `quantise` was given, as far as they are known."""
    return entries.float() * step.float()[:, None]


def halve(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Columns [n, k] in half precision after division by a power of two each, and these powers [k].

    A power is above 1 only where a column's numbers would not fit; whole numbers up to 2,048 stay exact.

    >>> halve(torch.tensor([[3.0, 100_000.0]]))[1]
    tensor([1., 4.])
    """
    largest = columns.abs().amax(0) if len(columns) else columns.new_zeros(columns.shape[1])
    powers = (largest / _HALF_MAX).clamp(min=1).log2().ceil().exp2()
    return (columns / powers).half(), powers


def gaps(numbers: Tensor) -> Tensor:
    """Sorted numbers [n] as distances from the one before: small ones, which compress.

    >>> gaps(torch.tensor([3, 4, 9]))
    tensor([3, 1, 5], dtype=torch.int32)
    """
    return torch.diff(numbers, prepend=numbers.new_zeros(1)).to(torch.int32)


def numbers_of(distances: Tensor) -> Tensor:
    """The sorted numbers whose `gaps` these are, int64 [n]."""
    return distances.long().cumsum(0)


def pack_ids(ids: Sequence[str]) -> Tensor:
    """Ids as the bytes of a JSON list, uint8."""
    return torch.from_numpy(np.frombuffer(msgspec.json.encode(ids), np.uint8).copy())


def unpack_ids(packed: Tensor) -> list[str]:
    """The ids that `pack_ids` was given.

    Raises:
        CheckpointRefused: it is no list of ids.
    """
    try:
        return msgspec.json.decode(packed.numpy().tobytes(), type=list[str])
    except msgspec.DecodeError as error:
        raise CheckpointRefused(f"checkpoint: expected a JSON list of ids, got {error}") from error
