"""PURE: what each outcome of a recommendation is worth, as `outcome=weight` entries of a setting."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

WORTH: Final[Mapping[str, float]] = {"click": 0.4, "satisfied": 0.5, "like": 0.3, "negative": -1.0}
"""Every outcome that is predicted, with its default."""


def entries(worth: Mapping[str, float]) -> tuple[str, ...]:
    """Return weights as they are written in the setting.

    >>> entries(WORTH)
    ('click=0.4', 'satisfied=0.5', 'like=0.3', 'negative=-1.0')
    """
    return tuple(f"{outcome}={weight}" for outcome, weight in worth.items())


def parse(written: Sequence[str]) -> dict[str, float] | None:
    """Return a weight for every outcome, 0 where none is written; None where that cannot be meant.

    Each entry names another outcome and a finite number, and one of the numbers is not 0.

    >>> parse(["click=1", "negative=-2.5"])
    {'click': 1.0, 'satisfied': 0.0, 'like': 0.0, 'negative': -2.5}
    >>> parse(["views=1"]), parse(["click=much"]), parse(["click=1", "click=2"]), parse([])
    (None, None, None, None)
    """
    weights: dict[str, float] = {}
    for outcome, separator, number in (entry.partition("=") for entry in written):
        if not separator or outcome not in WORTH or outcome in weights or not _is_finite(number):
            return None
        weights[outcome] = float(number)
    return {outcome: weights.get(outcome, 0.0) for outcome in WORTH} if any(weights.values()) else None


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
