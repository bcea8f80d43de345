import random

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner import checkpoint
from learner.checkpoint import Assembler, ModelRecord
from schemas.checkpoint import Manifest
from schemas.errors import CheckpointRefused

BASE = "base-1"
SHAPES = {"weight": (None, 3), "bias": (3,)}


def tensors() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(3), "empty": torch.zeros(0, 4)}


def manifest_of(payload: bytes, limit: int = checkpoint.CHUNK_BYTES, **changes: object) -> Manifest:
    sha256 = checkpoint.content_hash(payload)
    made = Manifest(
        model="shop/default",
        version=checkpoint.version_of(sha256),
        parent=None,
        base=BASE,
        created_ts=1,
        offsets={"0": 1},
        examples_seen=1,
        ranks={"w": 2},
        metrics={"loss": 0.5},
        bytes=len(payload),
        sha256=sha256,
        chunks=checkpoint.count_chunks(len(payload), limit),
    )
    return msgspec.structs.replace(made, **changes)


def cut(payload: bytes, limit: int) -> list[ModelRecord]:
    return checkpoint.chunk(manifest_of(payload, limit), payload, limit)


def fold_all(assembler: Assembler, records: list[ModelRecord]) -> list[bytes]:
    whole = (assembler.fold(*record) for record in records)
    return [complete[1] for complete in whole if complete is not None]


def test_decode_returns_what_was_encoded() -> None:
    metadata = {"lineage": "x", "π": "ü"}
    decoded, found = checkpoint.decode(checkpoint.encode(tensors(), metadata))
    assert found == metadata
    torch.testing.assert_close(decoded, tensors(), rtol=0, atol=0)


def test_equal_weights_have_equal_bytes_whatever_their_order() -> None:
    metadata = {str(n): str(n) for n in range(20)}
    backwards = dict(reversed(list(tensors().items())))
    assert checkpoint.encode(tensors(), metadata) == checkpoint.encode(
        backwards, dict(reversed(metadata.items()))
    )


@pytest.mark.parametrize("payload", [b"", b"garbage", b"\xff" * 64])
def test_bytes_that_are_no_safetensors_are_refused(payload: bytes) -> None:
    with pytest.raises(CheckpointRefused, match="expected compressed safetensors"):
        checkpoint.decode(payload)


def test_the_manifest_comes_last_and_no_record_is_over_the_limit() -> None:
    records = cut(b"x" * 25, limit=10)
    assert [record.key.rpartition(b"/")[2] for record in records] == [b"0", b"1", b"2", b"manifest"]
    assert [len(record.value) for record in records[:-1]] == [10, 10, 5]


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5, unique=True), st.integers(1, 20), st.randoms()
)
def test_any_interleaving_of_versions_is_assembled(
    payloads: list[bytes], limit: int, chance: random.Random
) -> None:
    records = [record for payload in payloads for record in cut(payload, limit)]
    chance.shuffle(records)
    assembler = Assembler()
    assert sorted(fold_all(assembler, records)) == sorted(payloads)
    assert len(assembler) == 0


def test_a_version_without_its_manifest_or_a_chunk_is_not_complete() -> None:
    records = cut(b"x" * 25, limit=10)
    for missing in range(len(records)):
        assert fold_all(Assembler(), records[:missing] + records[missing + 1 :]) == []


def test_incomplete_versions_are_bounded_in_number_and_bytes() -> None:
    begun = [cut(bytes([n]) * 20, limit=10)[0] for n in range(10)]
    by_number, by_bytes = Assembler(max_versions=3), Assembler(max_bytes=25)
    fold_all(by_number, begun)
    fold_all(by_bytes, begun)
    assert (len(by_number), len(by_bytes)) == (3, 2)


def test_a_damaged_chunk_is_refused_and_the_next_version_assembled() -> None:
    *chunks, last = cut(b"x" * 25, limit=10)
    assembler = Assembler()
    fold_all(assembler, [chunks[0]._replace(value=b"y" * 10), *chunks[1:]])
    with pytest.raises(CheckpointRefused, match="sha256"):
        assembler.fold(*last)
    assert fold_all(assembler, cut(b"z" * 5, limit=10)) == [b"z" * 5]


@pytest.mark.parametrize(
    "record",
    [
        ModelRecord(b"no slash", b"", [(checkpoint.KIND, checkpoint.CHUNK)]),
        ModelRecord(b"m/v/x", b"", [(checkpoint.KIND, checkpoint.CHUNK)]),
        ModelRecord(b"m/v/" + b"9" * 5_000, b"", [(checkpoint.KIND, checkpoint.CHUNK)]),
        ModelRecord(b"m/v/manifest", b"{}", [(checkpoint.KIND, checkpoint.MANIFEST)]),
    ],
)
def test_records_of_another_kind_are_refused(record: ModelRecord) -> None:
    with pytest.raises(CheckpointRefused):
        Assembler().fold(*record)


def test_a_sound_checkpoint_is_verified() -> None:
    payload = checkpoint.encode(tensors(), {})
    torch.testing.assert_close(checkpoint.verify(manifest_of(payload), payload, BASE, SHAPES), tensors())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"base": "another"}, "expected base base-1, got another"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"version": "0" * 16}, "version"),
        ({"format": 99}, "format"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(changes: dict[str, object], reason: str) -> None:
    payload = checkpoint.encode(tensors(), {})
    with pytest.raises(CheckpointRefused, match=reason):
        checkpoint.verify(manifest_of(payload, **changes), payload, BASE, SHAPES)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bias": torch.tensor([0.0, float("nan"), 0.0])}, "NaN or infinity in .'bias'"),
        ({"bias": torch.full((3,), float("inf"))}, "NaN or infinity"),
        ({"bias": torch.zeros(4)}, "shape of 'bias'"),
        ({"bias": None}, "expected tensor 'bias'"),
    ],
)
def test_weights_that_cannot_be_served_are_refused(
    changes: dict[str, torch.Tensor | None], reason: str
) -> None:
    weights = {name: tensor for name, tensor in (tensors() | changes).items() if tensor is not None}
    payload = checkpoint.encode(weights, {})
    with pytest.raises(CheckpointRefused, match=reason):
        checkpoint.verify(manifest_of(payload), payload, BASE, SHAPES)
