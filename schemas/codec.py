"""PURE: bytes ↔ records. Parsing validates; what comes out can be trusted."""

from functools import cache
from typing import Any, TypeVar

import msgspec

from schemas.errors import InvalidRecord, Reason
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


@cache
def _id_fields(record: type[Record]) -> tuple[str, ...]:
    return tuple(name for name in record.__struct_fields__ if name.endswith("_id"))


def encode(record: Record) -> bytes:
    """Return the record as UTF-8 JSON.

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
        raise InvalidRecord(Reason.INVALID, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord(Reason.NOT_JSON, str(error)) from None
    if not raw.isascii() or b"\\u" in raw:
        _check_id_bytes(value)
    return value


def _check_id_bytes(value: Record) -> None:
    """Ids are bounded in bytes; the struct can only count characters, which differ beyond ASCII."""
    for name in _id_fields(type(value)):
        _check_one_id(name, getattr(value, name))
    for shown in getattr(value, "items", ()):
        _check_one_id("items[].item_id", shown.item_id)


def _check_one_id(name: str, value: Any) -> None:
    if value is None:
        return
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRecord(Reason.INVALID, f"{name} holds a lone surrogate, expected Unicode text") from None
    if size > ID_BYTES:
        raise InvalidRecord(Reason.ID_TOO_LONG, f"{name} has {size} bytes, expected at most {ID_BYTES}")
