"""PURE: what a user did with one item of one slate, and how that looked at some moment.

All numbers are whole: sums of them do not depend on the order in which events came.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from schemas.events import Click, Dwell, Feedback
from schemas.opinions import LIKED, NEGATIVE, opinion, value
from stream.satisfaction import satisfaction

ACTIONS = ("dwell", "click", "rating", "like", "negative")
"""From the weakest to the strongest; the strongest mark of a touch names its action."""

DWELL, CLICK, RATING, LIKE, DISLIKE = range(len(ACTIONS))

COUNTERS = ("clicks", "dwells", "satisfied", "likes", "negatives")
"""What a touch adds to the counters of its user; satisfied by its satisfaction, in `UNITS`."""

TOUCH_MS = 600_000
"""What a user does with an item of a slate later than so after the first of it is another touch."""

UNITS = 1_000
"""Satisfaction is kept in thousandths."""

UNKNOWN = -1
"""A satisfaction of which nothing is known."""

Mark: TypeAlias = tuple[int, int, int]
"""(ts, action, satisfaction in 0…`UNITS`); the satisfaction of a click says nothing."""

Glance: TypeAlias = tuple[int, str, int, int]
"""A touch as it looked at some moment: (ts of the last mark, item id, action, satisfaction or `UNKNOWN`)."""

Counts: TypeAlias = tuple[int, int, int, int, int]
"""In the order of `COUNTERS`."""

_CLICKED: Counts = (1, 0, 0, 0, 0)

_COUNTED = (CLICK, DWELL)
"""What its single mark says is told by its look."""


class Touch(msgspec.Struct, array_like=True, gc=False):
    """What a user did with one item of one slate: its look, and its marks, oldest first, if several.

    Of a single one, as most have, the look tells all; of several, times are kept as ms before the last. So a
    state of 50 touches, twenty minutes of which may still change, stays below 2 kB.

    >>> touch("r", "a", [(5, CLICK, 0)])
    (Touch(request_id='r', seen=(5, 'a', 1, -1), several=()), (1, 0, 0, 0, 0))
    >>> both, counts = touch("r", "a", [(5, CLICK, 0), (9, DWELL, 250)])
    >>> both.several, both.marks, both.began, both.counts == counts
    (((4, 1, 0), (0, 0, 250)), ((5, 1, 0), (9, 0, 250)), 5, True)
    """

    request_id: str
    seen: Glance
    several: tuple[Mark, ...] = ()

    @property
    def item_id(self) -> str:
        """The item."""
        return self.seen[1]

    @property
    def began(self) -> int:
        """When the first mark was made."""
        return self.seen[0] - self.several[0][0] if self.several else self.seen[0]

    @property
    def marks(self) -> tuple[Mark, ...]:
        """All marks, oldest first; never empty."""
        last, _, action, share = self.seen
        if not self.several:
            return ((last, action, 0 if action == CLICK else share),)
        return tuple([(last - before, action, share) for before, action, share in self.several])

    @property
    def counts(self) -> Counts:
        """What it adds to the counters of its user."""
        _, item_id, action, share = self.seen
        if not self.several and action in _COUNTED:
            return (0, 1, share, 0, 0) if action == DWELL else _CLICKED
        return glance(item_id, self.marks)[1]


def touch(request_id: str, item_id: str, marks: Sequence[Mark]) -> tuple[Touch, Counts]:
    """Return the touch that these marks make, oldest first, and what it adds to the counters."""
    seen, counts = glance(item_id, marks)
    if len(marks) == 1:
        return Touch(request_id, seen), counts
    several = tuple([(seen[0] - ts, action, share) for ts, action, share in marks])
    return Touch(request_id, seen, several), counts


def mark(event: Click | Dwell | Feedback, duration_ms: float | None) -> Mark | None:
    """Return what an event says of its item; `duration_ms` is the length of a dwelt one, if known.

    None where feedback takes something back: that it was said at its time stays true.
    """
    if type(event) is Click:
        return event.ts, CLICK, 0
    if type(event) is Dwell:
        return event.ts, DWELL, round(UNITS * satisfaction(event.dwell_ms, duration_ms))
    said = opinion(event.kind, value(event))
    if said is None:
        return None
    if event.kind == "rating":
        return event.ts, RATING, round(UNITS * said)
    return event.ts, DISLIKE if event.kind in NEGATIVE else LIKE, round(UNITS * said)


def order(touch: Touch) -> tuple[int, str, int, int, str]:
    """Return the key that sorts touches by their last mark, and those of one moment as their looks."""
    return *touch.seen, touch.request_id


def glance(item_id: str, marks: Sequence[Mark]) -> tuple[Glance, Counts]:
    """Read the marks, of which there is one; what the user says outweighs how long they stayed.

    >>> glance("a", [(5, CLICK, 0), (9, DWELL, 250)])
    ((9, 'a', 1, 250), (1, 1, 250, 0, 0))
    """
    if len(marks) == 1:  # as nearly always
        ts, action, share = marks[0]
        if action == CLICK:
            return (ts, item_id, CLICK, UNKNOWN), _CLICKED
        if action == DWELL:
            return (ts, item_id, DWELL, share), (0, 1, share, 0, 0)
    clicks, dwells, likes, negatives = 0, 0, 0, 0
    stayed, said, strongest = UNKNOWN, UNKNOWN, DWELL
    for _, action, share in marks:
        if action == CLICK:
            clicks = 1
        elif action == DWELL:
            dwells = 1
            stayed = max(stayed, share)
        else:
            said = share
            likes += share >= LIKED * UNITS
            negatives += action == DISLIKE
        strongest = max(strongest, action)
    pleased = stayed if said == UNKNOWN else said
    seen = marks[-1][0], item_id, strongest, pleased
    return seen, (clicks, dwells, max(0, pleased), likes, negatives)
