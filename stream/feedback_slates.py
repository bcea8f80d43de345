"""PURE: feedback that names no slate, as a labelled slate of its own."""

from hashlib import sha256

from schemas.events import Feedback
from schemas.labels import FEEDBACK_SURFACE, LabeledSlate, Outcome, Session
from schemas.opinions import is_liked, opinion, value
from schemas.record import ID_BYTES


def feedback_id(event_id: str) -> str:
    """Return the request id of the slate that a feedback stands for; hashed where it would be too long.

    >>> feedback_id("e1")
    'feedback:e1'
    """
    plain = f"feedback:{event_id}"
    return plain if len(plain.encode()) <= ID_BYTES else f"feedback:{sha256(event_id.encode()).hexdigest()}"


def label_feedback(event: Feedback, session: Session, trust: float = 1.0) -> LabeledSlate:
    """Return the one final revision of a slate that holds just the judged item.

    What only takes back weighs nothing: no slate says what, and what was learned of it stays.
    """
    said = opinion(event.kind, value(event))
    outcome = Outcome(
        item_id=event.item_id,
        position=0,
        clicked=is_liked(event),
        satisfaction=said,
        feedback={event.kind: value(event)},
        trust=trust,
        weight=0.0 if said is None else 1.0,
        final=True,
    )
    return LabeledSlate(
        request_id=feedback_id(event.event_id),
        revision=0,
        user_id=event.user_id,
        ts=event.ts,
        observed_ts=event.ts,
        surface=FEEDBACK_SURFACE,
        session=session,
        slate=[event.item_id],
        outcomes=[outcome],
    )
