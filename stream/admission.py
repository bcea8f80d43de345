"""PURE: whether an event's time can be believed, against the time at which it was logged."""

from schemas.errors import InvalidRecord, Reason
from schemas.headers import number
from schemas.topics import RETENTION_MS
from schemas.trace import LOGGED_AT

FUTURE_MS = 600_000
"""How far a producer's clock may run ahead."""


def reference_ms(logged_at: bytes | None, timestamp_ms: int) -> int:
    """Return when the event was first logged: the `logged-at` header, else the message's own timestamp.

    Raises:
        InvalidRecord: the header is not a number.

    >>> reference_ms(b"1500", 2000), reference_ms(None, 2000)
    (1500, 2000)
    """
    if logged_at is None:
        return timestamp_ms
    return number(LOGGED_AT, logged_at)


def admit(ts: int, reference_ms: int, retention_ms: int = RETENTION_MS) -> None:
    """Accept an event time that lies between retention and a little ahead of the reference, all in ms.

    Raises:
        InvalidRecord: FROM_THE_FUTURE or BEFORE_RETENTION.
    """
    ahead = ts - reference_ms
    if ahead > FUTURE_MS:
        detail = f"ts {ts} is {ahead} ms after it was logged, expected at most {FUTURE_MS}"
        raise InvalidRecord(Reason.FROM_THE_FUTURE, detail)
    if -ahead > retention_ms:
        detail = f"ts {ts} is {-ahead} ms before it was logged, expected at most {retention_ms}"
        raise InvalidRecord(Reason.BEFORE_RETENTION, detail)


def is_admitted(ts: int, reference_ms: int) -> bool:
    """Whether `admit` accepts an event time, said without an exception.

    >>> is_admitted(FUTURE_MS + 5, 5), is_admitted(FUTURE_MS + 6, 5)
    (True, False)
    """
    return -RETENTION_MS <= ts - reference_ms <= FUTURE_MS
