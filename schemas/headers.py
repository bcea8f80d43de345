"""PURE: what is read from a message's headers, which anybody may write as they like."""

from collections.abc import Mapping
from typing import Final

from schemas.codec import SCHEMA_HEADER, SCHEMA_VERSION
from schemas.errors import InvalidRecord, Reason

DIGITS: Final = 18
"""Most of a number: any time in milliseconds, and no more than Python and every database can hold."""

_SHOWN: Final = 32


def number(name: str, raw: bytes) -> int:
    """Return the number that a header holds.

    Raises:
        InvalidRecord: it is not ASCII digits, or too many.

    >>> number("schema", b"1")
    1
    """
    if not raw.isdigit() or len(raw) > DIGITS:
        detail = f"header {name} is {raw[:_SHOWN]!r}, expected at most {DIGITS} ASCII digits"
        raise InvalidRecord(Reason.INVALID, detail)
    return int(raw)


def schema_of(headers: Mapping[str, bytes | None]) -> int:
    """Return the version of the schema that a message says it is written in; the first one if it says none.

    Raises:
        InvalidRecord: the header is not a number.

    >>> schema_of({"schema": b"2"}), schema_of({}), schema_of({"schema": None})
    (2, 1, 1)
    """
    stated = headers.get(SCHEMA_HEADER)
    return SCHEMA_VERSION if stated is None else number(SCHEMA_HEADER, stated)
