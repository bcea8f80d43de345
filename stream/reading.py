"""PURE: from a message to an admitted record, or the reason why not."""

from collections.abc import Sequence
from typing import TypeVar

from schemas.codec import SCHEMA_HEADER, decode, decode_all
from schemas.errors import InvalidRecord
from schemas.events import Click, Dwell, Erasure, Feedback, Impression, Item, Search, UserEvent
from schemas.headers import schema_of
from schemas.record import Record
from schemas.topics import CLICKS, DWELLS, FEEDBACK, IMPRESSIONS, SEARCHES
from schemas.trace import LOGGED_AT
from stream.admission import admit, is_admitted, reference_ms
from stream.inbound import Inbound

R = TypeVar("R", bound=Record)

FOR_EVER_MS = 2**53

USER_EVENT_TYPES: dict[str, type[UserEvent]] = {
    IMPRESSIONS.name: Impression,
    CLICKS.name: Click,
    DWELLS.name: Dwell,
    FEEDBACK.name: Feedback,
    SEARCHES.name: Search,
}
"""Topic, without prefix → what its messages are."""


def read(message: Inbound, record: type[R]) -> R:
    """Parse a message.

    Raises:
        InvalidRecord: with the reason that the dead letter will carry.
    """
    return decode(record, message.value or b"", schema_of(message.headers))


def read_event(message: Inbound) -> UserEvent:
    """Parse a message of one of the user-event topics, and check its time against when it was logged.

    Raises:
        InvalidRecord: with the reason that the dead letter will carry.
    """
    event = read(message, USER_EVENT_TYPES[message.topic])
    admit(event.ts, logged_ms(message))
    return event


def read_events(messages: Sequence[Inbound]) -> list[UserEvent | InvalidRecord]:
    """Read messages of one topic as `read_event` does each, but together: that takes half the time.

    A message that is refused is returned as the reason.
    """
    if not messages:
        return []
    known, is_plain = None, not any(message.headers for message in messages)
    if is_plain or not any(SCHEMA_HEADER in message.headers for message in messages):
        record = USER_EVENT_TYPES[messages[0].topic]
        known = decode_all(record, [message.value or b"" for message in messages])
    if known is None:
        return [_event_or_reason(message) for message in messages]
    pairs = zip(known, messages, strict=True)
    if is_plain and all(is_admitted(event.ts, message.timestamp) for event, message in pairs):
        return list(known)
    return [_admitted(event, message) for event, message in zip(known, messages, strict=True)]


def _event_or_reason(message: Inbound) -> UserEvent | InvalidRecord:
    try:
        return read_event(message)
    except InvalidRecord as error:
        return error


def _admitted(event: UserEvent, message: Inbound) -> UserEvent | InvalidRecord:
    try:
        admit(event.ts, logged_ms(message))
    except InvalidRecord as error:
        return error
    return event


def read_erasure(message: Inbound) -> Erasure:
    """Parse an erasure; an old one is as binding as a new one, so only the future is refused.

    Raises:
        InvalidRecord: with the reason that the dead letter will carry.
    """
    erasure = read(message, Erasure)
    admit(erasure.ts, logged_ms(message), retention_ms=FOR_EVER_MS)
    return erasure


def read_item(message: Inbound) -> Item | None:
    """Parse an item; a null value removes it, and is None.

    Raises:
        InvalidRecord: with the reason that the dead letter will carry.
    """
    return None if message.value is None else read(message, Item)


def logged_ms(message: Inbound) -> int:
    """When a message was first logged, ms since the epoch.

    Raises:
        InvalidRecord: its header says it wrongly.
    """
    if not message.headers:
        return message.timestamp
    return reference_ms(message.headers.get(LOGGED_AT), message.timestamp)
