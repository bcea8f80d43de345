"""PURE: the record that takes the place of a message nobody can use."""

from collections.abc import Mapping
from typing import NamedTuple

from schemas.codec import MAX_BYTES
from schemas.errors import InvalidRecord
from stream.inbound import Inbound

DETAIL_CHARS = 1_000
"""A parser may quote its input; the explanation must not become larger than what it explains."""

CUT_HEADER = "cut-from"
"""Set, to the original size in bytes, where the value had to be cut for the dead letter to fit a broker."""


class DeadLetter(NamedTuple):
    """What goes out on `dead-letters`: the refused bytes and key; the reason and the place in headers."""

    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


def dead_letter(message: Inbound, error: InvalidRecord) -> DeadLetter:
    """Wrap a refused message; its own headers travel along, so that it can be replayed once it is understood.

    >>> from schemas.errors import Reason
    >>> bad = Inbound("clicks", 2, 7, b"u", b"{", {}, 0)
    >>> letter = dead_letter(bad, InvalidRecord(Reason.NOT_JSON, "truncated"))
    >>> letter.value, letter.headers["reason"], letter.headers["offset"]
    (b'{', b'not_json', b'7')
    """
    value = message.value or b""
    headers = {
        **message.headers,
        "reason": error.reason.encode(),
        "detail": error.detail[:DETAIL_CHARS].encode(errors="replace"),
        "topic": message.topic.encode(),
        "partition": b"%d" % message.partition,
        "offset": b"%d" % message.offset,
    }
    if len(value) > MAX_BYTES:
        headers[CUT_HEADER] = b"%d" % len(value)
    return DeadLetter(message.key, value[:MAX_BYTES], headers)


class Refusal(NamedTuple):
    """A dead letter's index entry: where the message stood, why it was refused, how large it was."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    size: int


def refusal(value: bytes, headers: Mapping[str, bytes]) -> Refusal | None:
    """Read a dead letter back; None for a record on the topic that freshrank did not write."""
    try:
        return Refusal(
            topic=headers["topic"].decode(),
            partition=int(headers["partition"]),
            offset=int(headers["offset"]),
            reason=headers["reason"].decode(),
            detail=headers["detail"].decode(errors="replace"),
            size=int(headers.get(CUT_HEADER, b"%d" % len(value))),
        )
    except (KeyError, ValueError):
        return None
