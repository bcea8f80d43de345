"""PURE: what explicit feedback says about an item, on one scale with satisfaction."""

from schemas.events import Feedback

POSITIVE = frozenset({"like", "save", "share", "follow", "comment", "purchase"})
NEGATIVE = frozenset({"dislike", "hide", "report"})
TOP_RATING = 5.0
LIKED = 0.7
"""An opinion of at least this speaks for the item: a rating of 3.5."""


def value(event: Feedback) -> float:
    """Return the feedback's value; 1 where it carries none."""
    return 1.0 if event.value is None else event.value


def opinion(event: Feedback) -> float:
    """Return how well the item pleased, in [0, 1]: a rating by its share of 5, else 1 for or 0 against it.

    >>> opinion(Feedback(event_id="e", user_id="u", ts=0, kind="rating", item_id="i", value=4))
    0.8
    """
    if event.kind == "rating":
        return min(1.0, max(0.0, value(event) / TOP_RATING))
    return 1.0 if event.kind in POSITIVE else 0.0


def is_liked(event: Feedback) -> bool:
    """Return whether the feedback speaks for the item: a positive kind, or a rating of at least 3.5."""
    return opinion(event) >= LIKED
