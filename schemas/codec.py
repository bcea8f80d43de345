"""PURE: bytes ↔ records. Parsing validates; what comes out can be trusted."""

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import msgspec

from schemas.errors import InvalidRecord, Reason
from schemas.ids import check_ids
from schemas.record import ID_BYTES, Record

R = TypeVar("R", bound=Record)

MAX_BYTES = 1_000_000
SCHEMA_VERSION = 1
SCHEMA_HEADER = "schema"
"""Header key; ASCII digits. Absent means version 1. A newer one is refused, not guessed at."""

_encoder = msgspec.json.Encoder()


@cache
def _decoder(record: type[R]) -> msgspec.json.Decoder[R]:
    return msgspec.json.Decoder(record)


def encode(record: Record) -> bytes:
    """Return the record as UTF-8 JSON. JSON has no NaN: a non-finite number is written as null.

    >>> from schemas.events import Search
    >>> encode(Search(event_id="e", user_id="u", ts=1, query="jazz"))
    b'{"event_id":"e","user_id":"u","ts":1,"query":"jazz"}'
    """
    return _encoder.encode(record)


def decode(record: type[R], raw: bytes, schema: int = SCHEMA_VERSION) -> R:
    """Parse and validate one record.

    Raises:
        InvalidRecord: with the reason that the dead letter will carry.
    """
    if schema > SCHEMA_VERSION:
        raise InvalidRecord(Reason.SCHEMA_UNSUPPORTED, f"schema {schema}, expected at most {SCHEMA_VERSION}")
    if len(raw) > MAX_BYTES:
        raise InvalidRecord(Reason.TOO_LARGE, f"{len(raw)} bytes, expected at most {MAX_BYTES}")
    try:
        value: R = _decoder(record).decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRecord(_reason(str(error)), str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord(Reason.NOT_JSON, str(error)) from None
    if not raw.isascii() or b"\\u" in raw:
        check_ids(value)
    return value


def decode_lines(record: type[R], lines: Sequence[bytes]) -> list[R] | None:
    """Parse and validate JSON lines in one go; None where they have to be looked at one by one.

    >>> from schemas.events import Search
    >>> line = encode(Search(event_id="e", user_id="u", ts=1, query="jazz")) + b"\\n"
    >>> len(decode_lines(Search, [line, line])), decode_lines(Search, [line, b"[]\\n"])
    (2, None)
    """
    return _decode_together(record, b"".join(lines), len(lines))


def decode_all(record: type[R], values: Sequence[bytes]) -> list[R] | None:
    """Parse and validate messages in one go; None where they have to be looked at one by one.

    >>> from schemas.events import Search
    >>> value = encode(Search(event_id="e", user_id="u", ts=1, query="jazz"))
    >>> len(decode_all(Search, [value, value])), decode_all(Search, [value + b"\\n" + value, b""])
    (2, None)
    """
    raw = b"\n".join(values)
    return _decode_together(record, raw, len(values)) if raw.count(b"\n") < len(values) else None


def _decode_together(record: type[R], raw: bytes, count: int) -> list[R] | None:
    if len(raw) > MAX_BYTES or not raw.isascii() or b"\\u" in raw:
        return None
    try:
        values: list[R] = _decoder(record).decode_lines(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return values if len(values) == count else None


def _reason(message: str) -> Reason:
    # msgspec tells its errors apart by text alone, and only ids have this bound.
    return Reason.ID_TOO_LONG if f"`str` of length <= {ID_BYTES}" in message else Reason.INVALID
