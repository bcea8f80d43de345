"""PURE: what a user did with one item of one slate, and how that looked at some moment."""

from typing import NamedTuple

import msgspec

from schemas.events import Click, Dwell, Feedback
from schemas.opinions import LIKED, NEGATIVE, opinion, value
from stream.satisfaction import satisfaction

ACTIONS = ("dwell", "click", "rating", "like", "negative")
"""From the weakest to the strongest; the strongest mark of a touch names its action."""

COUNTERS = ("clicks", "dwells", "satisfied", "likes", "negatives")
"""What a touch adds to the counters of its user."""

_STRENGTH = {action: rank for rank, action in enumerate(ACTIONS)}

Mark = tuple[int, str, float]
"""(ts, action, satisfaction in [0, 1]); the satisfaction of a click says nothing."""


class Touch(msgspec.Struct, array_like=True):
    """What a user did with one item of one slate; marks are oldest first and never empty."""

    request_id: str
    item_id: str
    marks: list[Mark]


class Glance(NamedTuple):
    """A touch as it looked at some moment; counts are in the order of `COUNTERS`."""

    ts: int
    request_id: str
    item_id: str
    action: str
    satisfaction: float | None
    counts: tuple[float, ...]


def mark(event: Click | Dwell | Feedback, duration_ms: float | None) -> Mark:
    """Return what an event says of its item; `duration_ms` is the length of a dwelt one, if known."""
    if isinstance(event, Click):
        return event.ts, "click", 0.0
    if isinstance(event, Dwell):
        return event.ts, "dwell", satisfaction(event.dwell_ms, duration_ms)
    said = opinion(event.kind, value(event))
    if event.kind == "rating":
        return event.ts, "rating", said
    return event.ts, "negative" if event.kind in NEGATIVE else "like", said


def order(touch: Touch) -> tuple[int, str, str]:
    """Return the key that sorts touches by their last mark."""
    return touch.marks[-1][0], touch.request_id, touch.item_id


def glance(touch: Touch, ts: int) -> Glance:
    """Read the marks before `ts`, of which there is one; what the user says outweighs how long they stayed.

    One pass, since every label looks at every touch of its user.
    """
    clicks, dwells, likes, negatives = 0, 0, 0, 0
    stayed, said = None, None
    last, strongest = 0, "dwell"
    for at, action, share in touch.marks:
        if at >= ts:
            break
        last = at
        if action == "click":
            clicks = 1
        elif action == "dwell":
            dwells, stayed = 1, share if stayed is None or share > stayed else stayed
        else:
            said = share
            likes += share >= LIKED
            negatives += action == "negative"
        if _STRENGTH[action] > _STRENGTH[strongest]:
            strongest = action
    pleased = stayed if said is None else said
    counts = (clicks, dwells, pleased or 0.0, likes, negatives)
    return Glance(last, touch.request_id, touch.item_id, strongest, pleased, counts)
