"""PURE: a trainer snapshot as bytes: tensors, and beside them what is told in words."""

from collections.abc import Mapping

import msgspec
import torch
from safetensors.torch import load, save
from torch import Tensor

from learner.turnover import Waiting
from learner.user_share import Sums
from schemas.errors import SnapshotError


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """How the present base came to be: the version folded last, and at how many examples."""

    folded: str | None = None
    since: int = 0


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a trainer snapshot that is not tensors."""

    base: str
    ids: dict[str, list[str]]
    ledger: dict[str, msgspec.Raw]
    memory: list[bytes]
    rng: str  # JSON; its integers have 128 bits
    touched: dict[str, list[int]]
    examples_seen: int
    usual_loss: float | None = None
    lineage: Lineage = Lineage()
    shares: tuple[Sums, Sums]
    waiting: dict[str, list[Waiting]]


def pack(tensors: Mapping[str, Tensor], words: Words) -> bytes:
    """Encode a snapshot."""
    every = {**tensors, "state": bytes_tensor(msgspec.json.encode(words))}
    raw: bytes = save({name: tensor.cpu().contiguous() for name, tensor in every.items()})
    return raw


def unpack(raw: bytes) -> tuple[dict[str, Tensor], Words]:
    """What `pack` was given.

    Raises:
        SnapshotError: it is no snapshot.
    """
    try:
        tensors = load(raw)
        return tensors, msgspec.json.decode(tensors["state"].numpy().tobytes(), type=Words)
    except Exception as error:  # safetensors raises its own type
        raise SnapshotError(f"snapshot: expected trainer state, cannot read it: {error}") from error


def bytes_tensor(raw: bytes) -> Tensor:
    """Bytes as a tensor, uint8 [n]."""
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
