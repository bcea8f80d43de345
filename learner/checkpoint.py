"""PURE: scoring weights ↔ bytes ↔ Kafka records, and whether they can be trusted."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from schemas import codec
from schemas.checkpoint import FORMAT, Manifest
from schemas.errors import CheckpointRefused, InvalidRecord

VERSION_DIGITS = 16
CHUNK_BYTES = 900_000
"""Largest value of a record; Kafka's and Faust's default limit on a message is about 1 MB."""

MAX_BYTES = 1_000_000_000
"""Largest checkpoint once it is decompressed."""

KIND = "kind"
"""Header key; the value is `CHUNK` or `MANIFEST`."""
CHUNK = b"chunk"
MANIFEST = b"manifest"

_METADATA = "freshrank"
# The only metadata key: safetensors orders several at random, and equal weights must give equal bytes.

Headers = Iterable[tuple[str, bytes]]
Shape = Sequence[int | None]
"""An expected shape; None where the size is free, as live ranks and touched rows are."""


class ModelRecord(NamedTuple):
    """One record of the models topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return tensors and metadata as compressed safetensors; equal input gives equal bytes."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    raw: bytes = save(contiguous, {_METADATA: json.dumps(dict(metadata), sort_keys=True)})
    return zlib.compress(raw)


def decode(payload: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return what `encode` was given, the tensors on the CPU.

    Raises:
        CheckpointRefused: the bytes are not what `encode` writes.
    """
    try:
        raw = _decompress(payload)
        return load(raw), _metadata(raw)
    except (SafetensorError, ValueError, KeyError, zlib.error) as error:
        raise CheckpointRefused(
            f"payload of {len(payload)} bytes: expected compressed safetensors, got {error}"
        ) from error


def content_hash(payload: bytes) -> str:
    """The sha256 of a payload, in hex."""
    return hashlib.sha256(payload).hexdigest()


def version_of(sha256: str) -> str:
    """The version that a content hash stands for: its first 16 digits."""
    return sha256[:VERSION_DIGITS]


def count_chunks(size: int, limit: int = CHUNK_BYTES) -> int:
    """How many records a payload of that many bytes takes, without the manifest's.

    >>> count_chunks(900_000), count_chunks(900_001)
    (1, 2)
    """
    return -(-size // limit)


def chunk(manifest: Manifest, payload: bytes, limit: int = CHUNK_BYTES) -> list[ModelRecord]:
    """Cut a checkpoint into records keyed `model/version/n`; the manifest last, as the commit mark."""
    if manifest.chunks != count_chunks(len(payload), limit):
        raise ValueError(
            f"manifest.chunks: expected {count_chunks(len(payload), limit)}; got {manifest.chunks}"
        )
    name = f"{manifest.model}/{manifest.version}"
    parts = (payload[start : start + limit] for start in range(0, len(payload), limit))
    return [
        *(ModelRecord(f"{name}/{n}".encode(), part, [(KIND, CHUNK)]) for n, part in enumerate(parts)),
        ModelRecord(f"{name}/manifest".encode(), codec.encode(manifest), [(KIND, MANIFEST)]),
    ]


def verify(
    manifest: Manifest, payload: bytes, base_hash: str, expected_shapes: Mapping[str, Shape]
) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint that may be served.

    Raises:
        CheckpointRefused: format, base or hash is another; a tensor missing, misshapen or not finite.
    """
    place = f"checkpoint {manifest.model}/{manifest.version}"
    _expect(place, "format", FORMAT, manifest.format)
    _expect(place, "base", base_hash, manifest.base)
    _check_hash(manifest, payload)
    tensors, _ = decode(payload)
    for name, shape in expected_shapes.items():
        if name not in tensors:
            raise CheckpointRefused(f"{place}: expected tensor {name!r}, got only {sorted(tensors)}")
        if not _fits(tensors[name], shape):
            _expect(place, f"shape of {name!r}", tuple(shape), tuple(tensors[name].shape))
    broken = not_finite(tensors)
    if broken:
        raise CheckpointRefused(f"{place}: expected finite weights, got NaN or infinity in {broken}")
    return tensors


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold a NaN or an infinity."""
    return [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]


@dataclass
class _Pending:
    """What has come of one version so far."""

    manifest: Manifest | None = None
    chunks: dict[int, bytes] = field(default_factory=dict)

    def is_whole(self) -> bool:
        return self.manifest is not None and all(n in self.chunks for n in range(self.manifest.chunks))

    def size(self) -> int:
        return sum(map(len, self.chunks.values()))


class Assembler:
    """Puts checkpoints together from records in any order, of any number of models, interleaved.

    At most `max_versions` incomplete ones of together `max_bytes` are held; the ones begun first are dropped.
    """

    def __init__(self, max_versions: int = 16, max_bytes: int = 512_000_000) -> None:
        self.max_versions = max_versions
        self.max_bytes = max_bytes
        self._pending: dict[str, _Pending] = {}

    def __len__(self) -> int:
        """Incomplete versions held."""
        return len(self._pending)

    def fold(self, key: bytes | None, value: bytes | None, headers: Headers) -> tuple[Manifest, bytes] | None:
        """Take one record; return manifest and payload of the checkpoint that it completes.

        Raises:
            CheckpointRefused: the record is none of ours, or it completes a version whose hash is wrong.
                Folding can go on.
        """
        name, part = _parse_key(key)
        if value is None:  # compaction or an operator deleted it
            self._pending.pop(name, None)
            return None
        pending = self._pending.setdefault(name, _Pending())
        if dict(headers).get(KIND) == MANIFEST:
            pending.manifest = _decode_manifest(name, value)
        else:
            pending.chunks[_chunk_number(name, part)] = value
        if pending.is_whole():
            return _assemble(self._pending.pop(name))
        self._drop_oldest()
        return None

    def _drop_oldest(self) -> None:
        while len(self._pending) > self.max_versions or self._size() > self.max_bytes:
            del self._pending[next(iter(self._pending))]

    def _size(self) -> int:
        return sum(pending.size() for pending in self._pending.values())


def _assemble(pending: _Pending) -> tuple[Manifest, bytes]:
    manifest = pending.manifest
    assert manifest is not None
    payload = b"".join(pending.chunks[n] for n in range(manifest.chunks))
    _check_hash(manifest, payload)
    return manifest, payload


def _check_hash(manifest: Manifest, payload: bytes) -> None:
    place = f"checkpoint {manifest.model}/{manifest.version}"
    sha256 = content_hash(payload)
    _expect(place, "sha256", manifest.sha256, sha256)
    _expect(place, "version", version_of(sha256), manifest.version)


def _decode_manifest(name: str, value: bytes) -> Manifest:
    try:
        manifest = codec.decode(Manifest, value)
    except InvalidRecord as error:
        raise CheckpointRefused(f"checkpoint {name}: expected a JSON manifest, got {error}") from error
    _expect("models record", "key", f"{manifest.model}/{manifest.version}", name)
    return manifest


def _parse_key(key: bytes | None) -> tuple[str, str]:
    name, slash, part = (key or b"").decode(errors="replace").rpartition("/")
    if not slash:
        raise CheckpointRefused(f"models record: expected a key model/version/n, got {key!r}")
    return name, part


def _chunk_number(name: str, part: str) -> int:
    if not part.isdecimal() or len(part) > VERSION_DIGITS:
        raise CheckpointRefused(f"checkpoint {name}: expected a chunk number in the key, got {part!r}")
    return int(part)


def _decompress(payload: bytes) -> bytes:
    inflater = zlib.decompressobj()
    raw = inflater.decompress(payload, MAX_BYTES)
    if not inflater.eof:
        raise ValueError(f"expected whole data of at most {MAX_BYTES} bytes")
    return raw


def _metadata(payload: bytes) -> dict[str, str]:
    """Read the metadata out of the safetensors header: its length in 8 bytes, then JSON."""
    size = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + size])
    metadata: dict[str, str] = json.loads(header["__metadata__"][_METADATA])
    return metadata


def _fits(tensor: Tensor, shape: Shape) -> bool:
    sizes = tuple(tensor.shape)
    return len(sizes) == len(shape) and all(
        want is None or want == size for want, size in zip(shape, sizes, strict=True)
    )


def _expect(place: str, what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise CheckpointRefused(f"{place}: expected {what} {expected}, got {actual}")
