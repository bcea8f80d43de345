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


def opinion(kind: str, value: float) -> float:
    """Return how well the item pleased, in [0, 1]: a rating by its share of 5, else 1 for or 0 against it.

    >>> opinion("rating", 4), opinion("purchase", 30), opinion("hide", 1)
    (0.8, 1.0, 0.0)
    """
    if kind == "rating":
        return min(1.0, max(0.0, value / TOP_RATING))
    return 1.0 if kind in POSITIVE else 0.0


def decisive(feedback: Mapping[str, float]) -> float | None:
    """Return the opinion of the kind that comes first in `PRECEDENCE`; None without feedback.

    >>> decisive({"like": 1.0, "hide": 1.0}), decisive({"comment": 1.0, "rating": 2.0}), decisive({})
    (0.0, 0.4, None)
    """
    return next((opinion(kind, feedback[kind]) for kind in PRECEDENCE if kind in feedback), None)


def speaks_for(kind: str, value: float) -> bool:
    """Return whether feedback speaks for its item: a positive kind, or a rating of at least 3.5."""
    return opinion(kind, value) >= LIKED


def is_liked(event: Feedback) -> bool:
    """Return whether a feedback event speaks for its item."""
    return speaks_for(event.kind, value(event))
