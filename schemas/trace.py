"""The wall-clock stamps a message carries in its headers, so that freshness is measured, stage by stage.

These stamps are for measurement alone: no decision reads them.
"""

from schemas.record import Record

HEADER = "trace"
"""Header key; the value is a JSON `Trace`."""

LOGGED_AT = "logged-at"
"""Header key; ms since the epoch, ASCII digits: when an event was first logged.

A replay sets it, so that an old log is judged against its own time and not against today.
"""


class Trace(Record, frozen=True, kw_only=True):
    """Milliseconds since the epoch, UTC, at which each hop was passed; None where it was not yet."""

    event: int | None = None
    label: int | None = None
    learned: int | None = None
    published: int | None = None
    served: int | None = None
