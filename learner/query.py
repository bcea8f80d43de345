"""PURE: what a scorer is asked, and the names of what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.labels import Session
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
