"""PURE: what a user did lately, bounded, foldable again without harm, and visible as of any recent time."""

import msgspec

from schemas.events import UserEvent
from schemas.labels import Session


class SessionState(msgspec.Struct):
    """A user's state; JSON by msgspec (`msgspec.json.encode`, `msgspec.json.decode(raw, type=SessionState)`)."""


def fold(
    state: SessionState, event: UserEvent, duration_ms: float | None = None, horizon_ms: int = 1_220_000
) -> SessionState:
    """Fold one event into `state`, in place, and return it; folding an event again changes nothing."""
    raise NotImplementedError


def as_of(state: SessionState, ts: int, request_id: str | None = None) -> Session:
    """Return what was known strictly before `ts`, leaving out touches of `request_id` itself."""
    raise NotImplementedError
