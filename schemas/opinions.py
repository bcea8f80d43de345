"""PURE: what explicit feedback says about an item, on one scale with satisfaction. Defined once, here."""

from collections.abc import Mapping

from schemas.events import Feedback

POSITIVE = frozenset({"like", "save", "share", "follow", "comment", "purchase"})
NEGATIVE = frozenset({"dislike", "hide", "report"})
TOP_RATING = 5.0
LIKED = 0.7
"""An opinion of at least this speaks for the item: a rating of 3.5."""

PRECEDENCE = ("report", "hide", "dislike", "rating", "purchase", "share", "save", "follow", "like", "comment")
"""Which kind decides where several are given: a complaint first, then what the user measured, then what
cost the user most. All of them outweigh how long the user stayed."""


def value(event: Feedback) -> float:
    """Return the feedback's value; 1 where it carries none."""
    return 1.0 if event.value is None else event.value


def opinion(kind: str, value: float) -> float | None:
    """Return how well the item pleased, in [0, 1]: a rating by its share of 5, else 1 for or 0 against it.

    None where feedback takes back what it names, and so says nothing any more: an un-like or un-hide, of
    value 0 or less, or a refund, a purchase below 0; 0 is a price.

    >>> opinion("rating", 4), opinion("purchase", 30), opinion("hide", 1), opinion("like", 0)
    (0.8, 1.0, 0.0, None)
    """
    if kind == "rating":
        return min(1.0, max(0.0, value / TOP_RATING))
    if value < 0 or (value == 0 and kind != "purchase"):
        return None
    return 1.0 if kind in POSITIVE else 0.0


def decisive(feedback: Mapping[str, float]) -> float | None:
    """Return the opinion of the kind that comes first in `PRECEDENCE`; None where nothing is said.

    >>> decisive({"like": 1.0, "hide": 1.0}), decisive({"like": 1.0, "hide": 0.0}), decisive({"like": 0.0})
    (0.0, 1.0, None)
    """
    said = (opinion(kind, feedback[kind]) for kind in PRECEDENCE if kind in feedback)
    return next((one for one in said if one is not None), None)


def speaks_for(kind: str, value: float) -> bool:
    """Return whether feedback speaks for its item: a positive kind, or a rating of at least 3.5."""
    said = opinion(kind, value)
    return said is not None and said >= LIKED


def speaks_against(kind: str, value: float) -> bool:
    """Return whether feedback is a complaint that stands; a bad rating is none."""
    return kind in NEGATIVE and opinion(kind, value) is not None


def is_liked(event: Feedback) -> bool:
    """Return whether a feedback event speaks for its item."""
    return speaks_for(event.kind, value(event))
