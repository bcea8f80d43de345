"""PURE: trainer state as bytes: tensors, what is told in words, and behind them what is bytes already.

    8 bytes: n · n bytes of safetensors · the base · every slate of the ledger · every example of the memory

The words, a tensor of JSON, say how long each of these is. Training waits for the copy alone: it is encoded
on another thread, in parts so small that none keeps the training thread from running for long.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import msgspec
import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from learner.ranking import Ranking
from learner.turnover import Waiting
from learner.user_share import Sums
from schemas.errors import SnapshotError

_TOGETHER = 256
"""Pieces that are joined to one part: a few hundred kilobytes."""

_TOUCHED = "touched."


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """How the present base came to be: the version folded last, at how many examples, and when by the
    clock of the rows: those given to another since are no longer the base's."""

    folded: str | None = None
    since: int = 0
    at: int = 0


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """The part of trainer state that is neither tensors nor bytes."""

    base: str
    ids: dict[str, list[str]]
    rng: str  # JSON; its integers have 128 bits
    examples_seen: int
    usual_loss: float | None = None
    lineage: Lineage = Lineage()
    shares: tuple[Sums, Sums]
    waiting: dict[str, list[Waiting]]


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """The words, and the sizes in bytes of what follows the tensors."""

    words: Words
    base: int
    ledger: dict[str, int]
    memory: list[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainerState:
    """A copy of all trainer state of a moment, which training does not change.

    `base` is the payload of a base that was consolidated; empty of the root. `ledger` and `memory` are as
    `Ledger.snapshot` and `ReplayMemory.snapshot` give them, `touched` row numbers by index. The arrays of
    `ranking` come among the tensors, as `ranking.*`, when it is encoded.
    """

    tensors: Mapping[str, Tensor]
    words: Words
    touched: Mapping[str, set[int]]
    ledger: Mapping[str, msgspec.Raw]
    memory: Sequence[bytes]
    base: bytes = b""
    ranking: Ranking | None = field(default=None, repr=False)

    def parts(self) -> Iterator[bytes]:
        """The state encoded, a part at a time; `payload` is all of them."""
        told = _Told(
            words=self.words,
            base=len(self.base),
            ledger={request_id: len(memoryview(raw)) for request_id, raw in self.ledger.items()},
            memory=[len(example) for example in self.memory],
        )
        tensors = {**self.tensors, **_sorted(self.touched), **_ranking(self.ranking)}
        tensors["words"] = torch.frombuffer(bytearray(msgspec.json.encode(told)), dtype=torch.uint8)
        head: bytes = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        yield len(head).to_bytes(8, "little")
        yield head
        yield self.base
        yield from _joined(list(self.ledger.values()))
        yield from _joined(self.memory)

    @property
    def payload(self) -> bytes:
        """The state encoded."""
        return b"".join(self.parts())


def unpack(raw: bytes) -> TrainerState:
    """The state whose `payload` this is.

    Raises:
        SnapshotError: it is none's.
    """
    try:
        end = 8 + int.from_bytes(raw[:8], "little")
        tensors = load(raw[8:end])
        told = msgspec.json.decode(tensors.pop("words").numpy().tobytes(), type=_Told)
    except Exception as error:  # safetensors raises its own type
        raise SnapshotError(f"snapshot: expected trainer state, cannot read it: {error}") from error
    sizes = [told.base, *told.ledger.values(), *told.memory]
    if end + sum(sizes) != len(raw):
        raise SnapshotError(f"snapshot: expected {end + sum(sizes)} bytes, got {len(raw)}")
    pieces = iter([raw[start:stop] for start, stop in pairwise(accumulate(sizes, initial=end))])
    touched = {name: set(rows.tolist()) for name, rows in below(_TOUCHED, tensors).items()}
    return TrainerState(
        tensors={name: tensor for name, tensor in tensors.items() if not name.startswith(_TOUCHED)},
        words=told.words,
        touched=touched,
        base=next(pieces),
        ledger={request_id: msgspec.Raw(next(pieces)) for request_id in told.ledger},
        memory=list(pieces),
    )


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _sorted(touched: Mapping[str, set[int]]) -> dict[str, Tensor]:
    rows = {name: np.fromiter(numbers, np.int64, len(numbers)) for name, numbers in touched.items()}
    return {_TOUCHED + name: torch.from_numpy(np.sort(numbers)) for name, numbers in rows.items()}


def _ranking(ranking: Ranking | None) -> dict[str, Tensor]:
    state = {} if ranking is None else ranking.snapshot()
    return {f"ranking.{name}": torch.from_numpy(values) for name, values in state.items()}


def _joined(pieces: Sequence[bytes]) -> Iterator[bytes]:
    for start in range(0, len(pieces), _TOGETHER):
        yield b"".join(pieces[start : start + _TOGETHER])
