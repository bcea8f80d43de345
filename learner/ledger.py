"""PURE: what the weights have learned: every label counts once, and a revision only by its difference."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from schemas.labels import SATISFIED, LabeledSlate, Outcome
from schemas.opinions import speaks_against, speaks_for

PerTask = tuple[float, float, float, float]
"""One number per task, in the order of `TASKS`."""


class Lessons(msgspec.Struct, frozen=True, array_like=True):
    """What was learned of one item: each task's target, and the weight it was learned with; 0: not at all.

    `trust` is that in the user by then: the counts that features are made of take so much of an exposure.
    """

    targets: PerTask = (0.0,) * 4
    weights: PerTask = (0.0,) * 4
    trust: float = 1.0


class TrainingTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What is still to learn of one shown item: targets and weights in the order of `TASKS`.

    A weight of 0 masks its task; the weights already contain the outcome's weight, trust and
    examination probability. `before` and `after` are all that was learned of the item by then.
    """

    item_id: str
    position: int
    targets: PerTask
    weights: PerTask
    examined: float = 1.0
    before: Lessons
    after: Lessons


class LearnedSlate(msgspec.Struct, frozen=True, array_like=True):
    """The revisions of one slate that are in the weights, and what they taught, by item."""

    revisions: tuple[int, ...] = ()
    items: dict[str, Lessons] = {}


UNTAUGHT = Lessons()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LearnedSlate)


class Ledger:
    """Remembers the newest `capacity` slates; an older one would be learned as if it were new.

    Each is kept encoded: a hundred thousand would be millions of small objects, and a second of encoding
    in every snapshot.

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
        self._slates: dict[str, msgspec.Raw] = {}

    def __len__(self) -> int:
        """Slates remembered."""
        return len(self._slates)

    def __contains__(self, label: LabeledSlate) -> bool:
        """Whether this revision was admitted before."""
        return label.revision in self._known(label.request_id).revisions

    def admit(self, label: LabeledSlate) -> list[TrainingTarget]:
        """Return what is still to learn of a label, and remember it as learned.

        A label seen before teaches nothing; nor does an outcome whose targets and weights are known. One that
        is trusted less than it was has no weight, and what it counts for falls.
        """
        known = self._known(label.request_id)
        if label.revision in known.revisions:
            return []
        targets = []
        items = dict(known.items)
        for outcome in label.outcomes:
            target = _teach(outcome, items.get(outcome.item_id, UNTAUGHT))
            items[outcome.item_id] = target.after
            targets.append(target)
        self._remember(label.request_id, LearnedSlate((*known.revisions, label.revision), items))
        return [target for target in targets if target.after != target.before]

    def label_ids(self) -> Iterator[str]:
        """The ids of every label in the weights, as far back as the ledger reaches."""
        for request_id, raw in self._slates.items():
            for revision in _decoder.decode(raw).revisions:
                yield f"{request_id}#{revision}"

    def snapshot(self) -> dict[str, msgspec.Raw]:
        """The remembered slates, oldest first, each already JSON; never changed afterwards."""
        return dict(self._slates)

    def restore(self, slates: Mapping[str, msgspec.Raw]) -> None:
        """Replace all that is remembered by an earlier `snapshot`."""
        self._slates = dict(slates)
        self._forget()

    def _known(self, request_id: str) -> LearnedSlate:
        raw = self._slates.get(request_id)
        return LearnedSlate() if raw is None else _decoder.decode(raw)

    def _remember(self, request_id: str, slate: LearnedSlate) -> None:
        # Inserted last: the slates that were not touched for longest are the first to be forgotten.
        self._slates.pop(request_id, None)
        self._slates[request_id] = msgspec.Raw(_encoder.encode(slate))
        self._forget()

    def _forget(self) -> None:
        while len(self._slates) > self.capacity:
            del self._slates[next(iter(self._slates))]


def task_targets(outcome: Outcome) -> tuple[float | None, ...]:
    """The target of each task as far as this outcome decides it, in the order of `TASKS`; None: not yet.

    Likes and negatives are known to be absent only once the outcome is final. So is satisfaction with an
    item that was neither opened nor stayed with; a click without a dwell leaves it unknown. A bounce is
    no click.
    """
    feedback = outcome.feedback
    liked = any(speaks_for(kind, value) for kind, value in feedback.items())
    disliked = any(speaks_against(kind, value) for kind, value in feedback.items())
    satisfaction = 0.0 if _was_skipped(outcome) else outcome.satisfaction
    satisfied = None if satisfaction is None else float(satisfaction >= SATISFIED)
    return (
        float(outcome.clicked and not outcome.bounce),
        satisfied,
        float(liked) if liked or outcome.final else None,
        float(disliked) if disliked or outcome.final else None,
    )


def task_weights(outcome: Outcome) -> PerTask:
    """How much each task counts, in the order of `TASKS`: a bounce is a weak negative click.

    >>> task_weights(Outcome(item_id="a", position=0, clicked=True, bounce=0.1, trust=0.5))
    (0.05, 0.5, 0.5, 0.5)
    """
    weight = outcome.weight * outcome.trust * outcome.examined
    return (weight * (outcome.bounce or 1.0), weight, weight, weight)


def _taken_back(known: Lessons) -> float:
    """The weight of the click that was learned before it turned out to be a bounce.

    A negative of that weight stands against it, and the bounce's own comes on top: what is learned in all
    is the weak negative. A click that comes after its negative takes nothing back, for that negative was
    told with the probability that no click would come.
    """
    return known.weights[0] if known.targets[0] else 0.0


def _was_skipped(outcome: Outcome) -> bool:
    return outcome.final and not outcome.clicked and outcome.satisfaction is None


def owed(known_target: float, known_weight: float, target: float | None, weight: float) -> float:
    """The weight still to learn: the difference while the target stands, all of it once the target changed.

    Never below 0: what is in the weights cannot be taken out by training on it backwards.

    >>> owed(1.0, 0.4, 1.0, 1.0), owed(0.0, 1.0, 1.0, 1.0), owed(0.0, 0.0, None, 1.0)
    (0.6, 1.0, 0.0)
    """
    if target is None:
        return 0.0
    return max(0.0, weight - known_weight) if target == known_target else weight


def _teach(outcome: Outcome, known: Lessons) -> TrainingTarget:
    """What is still to learn of one outcome, of which `known` was learned before."""
    decided, counting = task_targets(outcome), task_weights(outcome)
    before = tuple(zip(known.targets, known.weights, decided, strict=True))
    weights = _per_task(owed(*lesson, weight) for lesson, weight in zip(before, counting, strict=True))
    learned = [_learned(*one) for one in zip(before, weights, strict=True)]
    if outcome.bounce and weights[0]:
        weights = (weights[0] + _taken_back(known), *weights[1:])
    return TrainingTarget(
        item_id=outcome.item_id,
        position=outcome.position,
        targets=_per_task(target or 0.0 for target in decided),
        weights=weights,
        examined=outcome.examined,
        before=known,
        after=Lessons(
            _per_task(t for t, _ in learned),
            _per_task(w for _, w in learned),
            outcome.trust if any(weights) else _trust_left(known, outcome.trust),
        ),
    )


def _trust_left(known: Lessons, trust: float) -> float:
    """The trust in what was learned before, when nothing else has changed: it may fall, but not rise."""
    return min(known.trust, trust) if any(known.weights) else known.trust


def _learned(before: tuple[float, float, float | None], weight: float) -> tuple[float, float]:
    """The target and weight a task has after `weight` more was learned."""
    known_target, known_weight, target = before
    if target is None or weight == 0:
        return known_target, known_weight
    return target, weight + known_weight if target == known_target else weight


def _per_task(numbers: Iterable[float]) -> PerTask:
    click, satisfied, like, negative = numbers
    return click, satisfied, like, negative
