"""PURE: dead letters of the stream: written, read back, and turned into what was refused."""

from collections.abc import Mapping
from typing import NamedTuple

from schemas.deadletters import CUT_HEADER, OURS, DeadLetter, enclose
from schemas.errors import InvalidRecord
from schemas.headers import number
from schemas.trace import LOGGED_AT
from stream.inbound import Inbound


def dead_letter(message: Inbound, error: InvalidRecord) -> DeadLetter:
    """Wrap a message that the stream refuses.

    >>> from schemas.errors import Reason
    >>> bad = Inbound("clicks", 2, 7, b"u", b"{", {}, 0)
    >>> letter = dead_letter(bad, InvalidRecord(Reason.NOT_JSON, "truncated"))
    >>> letter.value, letter.headers["reason"], letter.headers["offset"]
    (b'{', b'not_json', b'7')
    """
    return enclose(
        error,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=message.headers,
    )


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


def refusal(value: bytes, headers: Mapping[str, bytes | None]) -> Refusal | None:
    """Read a dead letter back; None for a record on the topic that freshrank did not write."""
    said = {name: held for name, held in headers.items() if held is not None}  # Kafka has such, too
    try:
        return Refusal(
            topic=said["topic"].decode(),
            partition=number("partition", said["partition"]),
            offset=number("offset", said["offset"]),
            reason=said["reason"].decode(),
            detail=said["detail"].decode(errors="replace"),
            size=number(CUT_HEADER, said.get(CUT_HEADER, b"%d" % len(value))),
        )
    except (KeyError, ValueError, InvalidRecord):
        return None
