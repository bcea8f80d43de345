"""PURE: feedback that names no slate, as a labelled slate of its own."""

from hashlib import sha256

from schemas.labels import FEEDBACK_SURFACE, LabeledSlate, Outcome, Session
from schemas.opinions import opinion, speaks_for
from schemas.record import ID_BYTES
from stream.agenda import Due


def feedback_id(event_id: str) -> str:
    """Return the request id of the slate that a feedback stands for; hashed where it would be too long.

    >>> feedback_id("e1")
    'feedback:e1'
    """
    plain = f"feedback:{event_id}"
    return plain if len(plain.encode()) <= ID_BYTES else f"feedback:{sha256(event_id.encode()).hexdigest()}"


def label_feedback(due: Due, session: Session, trust: float = 1.0) -> LabeledSlate:
    """Return the one final revision of a slate that holds just the judged item.

    What only takes back weighs nothing: no slate says what, and what was learned of it stays.
    """
    ts, _, event_id, _, item_id, kind, value, user_id = due
    said = opinion(kind, value)
    outcome = Outcome(
        item_id=item_id,
        position=0,
        clicked=speaks_for(kind, value),
        satisfaction=said,
        feedback={kind: value},
        trust=trust,
        weight=0.0 if said is None else 1.0,
        final=True,
    )
    return LabeledSlate(
        request_id=feedback_id(event_id),
        revision=0,
        user_id=user_id,
        ts=ts,
        observed_ts=ts,
        surface=FEEDBACK_SURFACE,
        session=session,
        slate=[item_id],
        outcomes=[outcome],
    )
