"""PURE: what a scorer is asked, and the names of what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.labels import LabeledSlate, Session
from schemas.record import Scalar

TASKS = ("click", "satisfied", "like", "negative")
"""The columns of every score array, in order: probabilities that the shown item gets each outcome."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Score these candidates for this user at `ts` (event time, ms), knowing of the user only `session`.

    `excluded` are indices of candidates whose scores nobody will look at.
    """

    user_id: str
    session: Session
    ts: int
    candidates: Sequence[str]
    surface: str = ""
    context: Mapping[str, Scalar] = field(default_factory=dict)
    excluded: Sequence[int] | NDArray[np.intp] = ()


def query_of(slate: LabeledSlate, candidates: Sequence[str]) -> Query:
    """What a scorer would be asked at the moment of a labelled slate."""
    return Query(
        user_id=slate.user_id,
        session=slate.session,
        ts=slate.ts,
        surface=slate.surface,
        candidates=candidates,
        context=slate.context,
    )


def utility(probabilities: NDArray[np.float32], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Expected worth of showing each candidate, by what each task's outcome is worth: [n, K] → [n].

    >>> weights = {"click": 1.0, "satisfied": 0.5, "like": 0.0, "negative": -2.0}
    >>> utility(np.array([[0.5, 0.5, 0.5, 0.0], [0.5, 0.5, 0.5, 0.5]], np.float32), weights)
    array([ 0.75, -0.25], dtype=float32)
    """
    worth: NDArray[np.float32] = probabilities @ np.array([weights[task] for task in TASKS], np.float32)
    return worth
