"""PURE: what a model that ranks a whole catalogue knows beside its weights."""

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.affinities import Affinities, Engagement
from learner.negatives import Negatives, NegativeSettings
from schemas.labels import FEEDBACK_SURFACE, LabeledSlate


def is_ranking(slate: LabeledSlate) -> bool:
    """Whether a label stands for a choice from the whole catalogue: feedback that names no slate."""
    return slate.surface == FEEDBACK_SURFACE and len(slate.slate) == 1


def _without(engagement: Engagement, rows: NDArray[np.integer]) -> Engagement | None:
    """What is left of an engagement when rows are forgotten: no pair with any of them."""
    if engagement.row in rows:
        return None
    gone = np.isin(engagement.recent, rows)
    return engagement._replace(recent=np.where(gone, 0, engagement.recent)) if gone.any() else engagement


class Ranking:
    """What goes together, which scorers need too, and what negatives are drawn from, which they do not."""

    def __init__(self, capacity: int, negatives: NegativeSettings | None = None) -> None:
        self.affinities = Affinities(capacity)
        self.negatives = Negatives(negatives or NegativeSettings())
        self.unpublished: list[Engagement] = []

    def fold(self, user: int, engagement: Engagement) -> None:
        """Take notice of what a user, given by row, engaged with."""
        self.affinities.fold(engagement)
        self.negatives.fold(user, engagement.row)
        self.unpublished.append(engagement)

    def forget(self, index: str, rows: NDArray[np.integer]) -> None:
        """Forget rows of `items` or `users`, which have a new owner."""
        if index == "items":
            self.affinities.forget(rows)
            self.negatives.forget(rows)
            self.unpublished = [kept for one in self.unpublished if (kept := _without(one, rows))]
        else:
            self.negatives.forget_users(rows.tolist())

    def fork(self) -> "Ranking":
        """The same, whose affinities change apart from these."""
        other = copy(self)
        other.affinities = self.affinities.copy()
        other.unpublished = []
        return other

    def copy(self) -> "Ranking":
        """The same, to be kept while this one changes."""
        other = copy(self)
        other.affinities, other.negatives = self.affinities.copy(), self.negatives.copy()
        other.unpublished = list(self.unpublished)
        return other

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """All of it as arrays."""
        parts = {"affinities": self.affinities.snapshot(), "negatives": self.negatives.snapshot()}
        return {f"{part}.{name}": array for part, state in parts.items() for name, array in state.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `snapshot` gave."""
        for part, owner in (("affinities.", self.affinities), ("negatives.", self.negatives)):
            owner.restore({n.removeprefix(part): array for n, array in state.items() if n.startswith(part)})
        self.unpublished = []
