"""PURE: examples ↔ bytes, for replay memory and snapshots."""

from dataclasses import fields

import msgspec
import numpy as np
from numpy.typing import NDArray

from learner.batching import Example
from learner.encoding import Encoded
from learner.memory import Codec

_ARRAYS = {
    "query": np.float32,
    "session": np.int32,
    "actions": np.int8,
    "satisfactions": np.int8,
    "ages": np.int8,
    "rows": np.int32,
    "features": np.float32,
    "positions": np.int32,
    "targets": np.float32,
    "weights": np.float32,
    "log_q": np.float32,
}


class _Packed(msgspec.Struct, array_like=True):
    user: int
    context: int
    arrays: list[bytes]
    taken: int = 0


def pack(example: Example) -> bytes:
    """One example as MessagePack; arrays as raw little-endian numbers."""
    encoded = example.encoded
    arrays = [_array(example, name).tobytes() for name in _ARRAYS]
    return msgspec.msgpack.encode(_Packed(encoded.user, encoded.context, arrays, example.taken))


def unpack(raw: bytes) -> Example:
    """What `pack` was given."""
    packed = msgspec.msgpack.decode(raw, type=_Packed)
    arrays = {
        name: np.frombuffer(part, dtype)
        for (name, dtype), part in zip(_ARRAYS.items(), packed.arrays, strict=True)
    }
    n = len(arrays["rows"])
    for name in ("features", "targets", "weights"):
        arrays[name] = arrays[name].reshape(n, -1)
    inner = {field.name: arrays[field.name] for field in fields(Encoded) if field.name in arrays}
    return Example(
        encoded=Encoded(user=packed.user, context=packed.context, **inner),
        positions=arrays["positions"],
        targets=arrays["targets"],
        weights=arrays["weights"],
        log_q=arrays["log_q"],
        taken=packed.taken,
    )


EXAMPLES = Codec(encode=pack, decode=unpack)


def _array(example: Example, name: str) -> NDArray[np.generic]:
    owner = example.encoded if hasattr(example.encoded, name) else example
    values: NDArray[np.generic] = getattr(owner, name)
    return values
