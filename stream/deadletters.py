"""PURE: the record that takes the place of a message nobody can use."""

from collections.abc import Mapping
from typing import NamedTuple

from schemas.codec import MAX_BYTES
from schemas.errors import InvalidRecord
from schemas.trace import LOGGED_AT
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


OURS = frozenset({"reason", "detail", "topic", "partition", "offset", CUT_HEADER})
"""The headers that a dead letter adds to those of the message."""


def original(letter: DeadLetter, written_ts: int) -> Inbound | None:
    """The refused message, to be sent again; None where it is not all there, or not ours.

    Its header `logged-at` is the time at which it was refused, in ms, unless it has one already: sent again
    years later it is still judged by the clock of its day.

    >>> from schemas.errors import Reason
    >>> bad = Inbound("clicks", 2, 7, b"u", b"{", {"schema": b"9"}, 0)
    >>> original(dead_letter(bad, InvalidRecord(Reason.SCHEMA_UNSUPPORTED, "9")), 17).headers
    {'logged-at': b'17', 'schema': b'9'}
    """
    entry = refusal(letter.value, letter.headers)
    if entry is None or CUT_HEADER in letter.headers:
        return None
    own = {name: value for name, value in letter.headers.items() if name not in OURS}
    headers = {LOGGED_AT: b"%d" % written_ts, **own}
    place = (entry.topic, entry.partition, entry.offset)
    return Inbound(*place, letter.key, letter.value, headers, written_ts)


class Refusal(NamedTuple):
    """A dead letter's index entry: where the message stood, why it was refused, how large it was."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    size: int

    @property
    def place(self) -> str:
        """How people name it: topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"


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
