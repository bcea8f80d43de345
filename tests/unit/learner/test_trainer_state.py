"""Trainer state as bytes: what was packed comes back, and what is damaged says so."""

import msgspec
import pytest
import torch

from learner.trainer_state import TrainerState, Words, unpack
from learner.user_share import Sums
from schemas.errors import SnapshotError

STATE = TrainerState(
    tensors={"λ": torch.tensor([1.0, float("nan")]), "steps": torch.tensor([3])},
    words=Words(
        base="abc",
        ids={"items": ["a", "ü"]},
        rng="{}",
        examples_seen=7,
        shares=(Sums(1.0, {"u": 1.0}), Sums()),
        waiting={"items": [("b", 1, 2)]},
    ),
    touched={"items": {9, 1, 5}, "users": set()},
    ledger={f"r{n}": msgspec.Raw(b'{"n":%d}' % n) for n in range(600)},
    memory=[b"", b"\x00\xff", b"x" * 1_000],
    base=b"a base",
)


def test_what_was_packed_comes_back() -> None:
    state = unpack(STATE.payload)
    assert state.tensors.keys() == STATE.tensors.keys()
    torch.testing.assert_close(dict(state.tensors), dict(STATE.tensors), rtol=0, atol=0, equal_nan=True)
    for name in ("words", "touched", "memory", "base"):
        assert getattr(state, name) == getattr(STATE, name)
    assert list(state.ledger.items()) == list(STATE.ledger.items()), "oldest first"


def test_packing_again_gives_the_same_bytes() -> None:
    assert unpack(STATE.payload).payload == STATE.payload


@pytest.mark.parametrize("raw", [b"", b"no state", STATE.payload[:-1], STATE.payload + b"?"])
def test_what_is_not_whole_is_refused(raw: bytes) -> None:
    with pytest.raises(SnapshotError, match="snapshot: expected"):
        unpack(raw)
