"""PURE: what the weights have learned: every label counts once, and a revision only by its difference."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from learner.query import TASKS
from schemas.labels import LabeledSlate, Outcome

LIKES = frozenset({"like", "save", "share", "follow", "purchase"})
NEGATIVES = frozenset({"dislike", "hide", "report"})
LIKED_RATING = 4.0
"""A rating of at least this counts as a like."""


class Lesson(NamedTuple):
    """A task's target value, and the weight with which it was learned."""

    target: float
    weight: float


Lessons = tuple[Lesson | None, ...]
"""What was learned of one item, in the order of `TASKS`; None where nothing was."""


class TrainingTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to learn of one shown item: targets and weights in the order of `TASKS`.

    A weight of 0 masks its task; the weights already contain the outcome's weight, trust and
    examination probability.
    """

    item_id: str
    position: int
    targets: tuple[float, float, float, float]
    weights: tuple[float, float, float, float]
    examined: float = 1.0


class LearnedSlate(msgspec.Struct, frozen=True):
    """The revisions of one slate that are in the weights, and what they taught, by item."""

    revisions: tuple[int, ...] = ()
    items: dict[str, Lessons] = {}


class Ledger:
    """Remembers the newest `capacity` slates; an older one would be learned as if it were new.

    >>> from schemas.labels import Session
    >>> label = LabeledSlate(request_id="r", revision=0, user_id="u", ts=0, observed_ts=1, session=Session(),
    ...                      slate=["a"], outcomes=[Outcome(item_id="a", position=0, clicked=True)])
    >>> ledger = Ledger(capacity=10)
    >>> [target.weights for target in ledger.admit(label)], ledger.admit(label)
    ([(1.0, 0.0, 0.0, 0.0)], [])
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"Ledger capacity must be at least 1; got {capacity}")
        self.capacity = capacity
        self._slates: dict[str, LearnedSlate] = {}

    def __len__(self) -> int:
        """Slates remembered."""
        return len(self._slates)

    def __contains__(self, label: LabeledSlate) -> bool:
        """Whether this revision was admitted before."""
        slate = self._slates.get(label.request_id)
        return slate is not None and label.revision in slate.revisions

    def admit(self, label: LabeledSlate) -> list[TrainingTarget]:
        """Return what is still to learn of a label, and remember it as learned.

        A label seen before teaches nothing; nor does an outcome whose targets and weights are known.
        """
        if label in self:
            return []
        known = self._slates.pop(label.request_id, LearnedSlate())
        targets = []
        items = dict(known.items)
        for outcome in label.outcomes:
            target, items[outcome.item_id] = _teach(outcome, items.get(outcome.item_id, (None,) * len(TASKS)))
            targets.append(target)
        # Inserted last: the slates that were not touched for longest are the first to be forgotten.
        self._slates[label.request_id] = LearnedSlate((*known.revisions, label.revision), items)
        self._forget()
        return [target for target in targets if any(target.weights)]

    def label_ids(self) -> Iterator[str]:
        """The ids of every label in the weights, as far back as the ledger reaches."""
        for request_id, slate in self._slates.items():
            for revision in slate.revisions:
                yield f"{request_id}#{revision}"

    def snapshot(self) -> dict[str, LearnedSlate]:
        """The remembered slates, oldest first: JSON-able with msgspec, and never changed afterwards."""
        return dict(self._slates)

    def restore(self, slates: dict[str, LearnedSlate]) -> None:
        """Replace all that is remembered by an earlier `snapshot`."""
        self._slates = dict(slates)
        self._forget()

    def _forget(self) -> None:
        while len(self._slates) > self.capacity:
            del self._slates[next(iter(self._slates))]


def task_targets(outcome: Outcome) -> tuple[float | None, ...]:
    """The target of each task as far as this outcome decides it, in the order of `TASKS`; None: not yet.

    Likes and negatives are known to be absent only once the outcome is final. So is satisfaction with an
    item that was neither opened nor stayed with; a click without a dwell leaves it unknown.
    """
    feedback = outcome.feedback
    liked = not LIKES.isdisjoint(feedback) or feedback.get("rating", 0.0) >= LIKED_RATING
    disliked = not NEGATIVES.isdisjoint(feedback)
    skipped = outcome.final and not outcome.clicked and outcome.satisfaction is None
    return (
        float(outcome.clicked),
        0.0 if skipped else outcome.satisfaction,
        float(liked) if liked or outcome.final else None,
        float(disliked) if disliked or outcome.final else None,
    )


def owed(known: Lesson | None, target: float | None, weight: float) -> float:
    """The weight still to learn: the difference while the target stands, all of it once the target changed.

    Never below 0: what is in the weights cannot be taken out by training on it backwards.

    >>> owed(None, 1.0, 1.0), owed(Lesson(1.0, 0.4), 1.0, 1.0), owed(Lesson(0.0, 1.0), 1.0, 1.0)
    (1.0, 0.6, 1.0)
    """
    if target is None:
        return 0.0
    if known is None or known.target != target:
        return weight
    return max(0.0, weight - known.weight)


def _teach(outcome: Outcome, known: Lessons) -> tuple[TrainingTarget, Lessons]:
    """What is still to learn of one outcome, and what will be known once it is learned."""
    weight = outcome.weight * outcome.trust * outcome.examined
    decided = task_targets(outcome)
    weights = tuple(owed(old, target, weight) for old, target in zip(known, decided, strict=True))
    target = TrainingTarget(
        item_id=outcome.item_id,
        position=outcome.position,
        targets=tuple(value or 0.0 for value in decided),  # type: ignore[arg-type]  # one per task: four
        weights=weights,  # type: ignore[arg-type]
        examined=outcome.examined,
    )
    learned = (_learned(*one) for one in zip(known, decided, weights, strict=True))
    return target, tuple(learned)


def _learned(known: Lesson | None, target: float | None, weight: float) -> Lesson | None:
    if target is None or weight == 0:
        return known
    before = known.weight if known is not None and known.target == target else 0.0
    return Lesson(target, before + weight)
