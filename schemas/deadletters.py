"""PURE: the record that takes the place of a message nobody can use, whoever refused it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from schemas.codec import MAX_BYTES
from schemas.errors import InvalidRecord

DETAIL_CHARS: Final = 1_000
"""A parser may quote its input; the explanation must not become larger than what it explains."""

KEY_BYTES: Final = 4_096
HEADERS_BYTES: Final = 16_384
"""Longest key, and most names and values of headers, that travel along.

With `MAX_BYTES` of the value, and the explanation, that is less than what brokers take by default. A letter
that no broker took would be refused again by each worker that comes to its message.
"""

CUT_HEADER: Final = "cut-from"
"""Set, to the original size of the value in bytes, where the message had to be cut to fit a broker."""

OURS: Final = frozenset({"reason", "detail", "topic", "partition", "offset", CUT_HEADER})
"""The headers that a dead letter adds to those of the message."""


class DeadLetter(NamedTuple):
    """What goes out on `dead-letters`: the refused bytes and key; the reason and the place in headers."""

    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


def enclose(
    error: InvalidRecord,
    *,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Mapping[str, bytes | None],
) -> DeadLetter:
    """Wrap a refused message; its own headers travel along, so that it can be replayed once it is understood.

    Args:
        topic: without prefix.
        headers: one without a value says nothing, and is left out.
    """
    value = value or b""
    own = {name: held for name, held in headers.items() if held is not None}
    added = {
        "reason": error.reason.encode(),
        "detail": error.detail[:DETAIL_CHARS].replace("\0", "\\0").encode(errors="replace"),
        "topic": topic.encode(),
        "partition": b"%d" % partition,
        "offset": b"%d" % offset,
    }
    fits = {
        "key": len(key or b"") <= KEY_BYTES,
        "headers": sum(len(name.encode()) + len(held) for name, held in own.items()) <= HEADERS_BYTES,
        "value": len(value) <= MAX_BYTES,
    }
    if not all(fits.values()):
        added[CUT_HEADER] = b"%d" % len(value)
    return DeadLetter(
        key[:KEY_BYTES] if key else key, value[:MAX_BYTES], (own if fits["headers"] else {}) | added
    )
