"""A planted world of late clicks and drift, and an online learner to find out what waiting costs (P5).

What users like turns once in `turn_ms`, so labels of ten minutes ago teach yesterday's taste. Clicks come
soon (exponential) or much later (a Pareto tail, some after the window: no click to any label). A user's next
slate comes about `between_ms` after the last. The learner is an online logistic regression over the
items' planted features, with the ledger of the product's learner in front: small enough to run every arm.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from learner.evaluation import auc, log_loss
from learner.ledger import Ledger
from schemas.events import Click, Impression, ShownItem
from schemas.labels import LabeledSlate, Outcome, Session
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings, Rules

START_TS = 1_700_000_000_000
WINDOW_MS = 600_000
SURFACE = "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """The world's laws; times in ms."""

    n_users: int = 150
    slate_size: int = 10
    between_ms: float = 240_000
    turn_ms: float = 3_600_000
    soon_ms: float = 8_000
    late_share: float = 0.5
    late_ms: float = 120_000
    late_tail: float = 1.2
    bias: float = -1.8
    strength: float = 1.2
    features: int = 8


@dataclass(frozen=True, slots=True)
class Visit:
    """One slate: its items' features, shape [items, features], and when each is clicked, inf for never."""

    impression: Impression
    features: NDArray[np.float64]
    delays_ms: NDArray[np.float64]

    @property
    def clicked(self) -> NDArray[np.bool_]:
        """Which items are clicked within the window: what every label is about."""
        return self.delays_ms < WINDOW_MS


def visits(laws: Delayed, duration_ms: int, seed: int = 0) -> list[Visit]:
    """All slates of a span of time, in order."""
    rng = np.random.default_rng(seed)
    due = [(START_TS + int(rng.exponential(laws.between_ms)), user) for user in range(laws.n_users)]
    due.sort()
    seen: list[Visit] = []
    while due[0][0] < START_TS + duration_ms:
        ts, user = heappop(due)
        seen.append(_visit(laws, rng, ts, user, len(seen)))
        heappush(due, (ts + 1 + int(rng.exponential(laws.between_ms)), user))
    return seen


def taste(laws: Delayed, ts: int) -> NDArray[np.float64]:
    """What makes an item liked at a moment: a direction that turns, every pair of features in a plane."""
    angle = 2 * np.pi * (ts - START_TS) / laws.turn_ms
    turned = np.tile([np.cos(angle), np.sin(angle)], laws.features // 2)
    return laws.strength * turned / np.sqrt(laws.features / 2)


def waited(seen: list[Visit], wait_ms: int) -> Iterator[tuple[int, LabeledSlate]]:
    """Whole truths, each told `wait_ms` after its impression: 0 is the oracle, the window is waiting."""
    for visit in seen:
        shown = visit.impression
        outcomes = [
            Outcome(item_id=item.item_id, position=item.position, clicked=bool(clicked), final=True)
            for item, clicked in zip(shown.items, visit.clicked, strict=True)
        ]
        yield shown.ts + wait_ms, label_of(shown, shown.ts + wait_ms, outcomes)


def labelled(seen: list[Visit], refinements: Iterable[str]) -> Iterator[tuple[int, LabeledSlate]]:
    """The product's own labels, each with the event time at which the fold gave it."""
    rules = Rules(refinements=frozenset(refinements))
    settings = JoinSettings(window_ms=WINDOW_MS, lateness_ms=1_000, rules=rules)
    fold: PartitionFold[None] = PartitionFold(settings, {}, lambda _: None)
    for event in events_of(seen):
        topic = "clicks" if isinstance(event, Click) else "impressions"
        for label in (*fold.fold(event, topic, None, 0), *fold.advance(0)):
            yield event.ts, label
        fold.done_tokens()


@dataclass(frozen=True, slots=True)
class Result:
    """How an arm did after the warm-up, and how old a label was, on average, when it was learned."""

    auc: float
    log_loss: float
    label_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How a way to learn departs from plain log loss.

    weight: (target, the model's own chance of a click) → what the sample's weight is multiplied by.
    calibrated: what the model says of items → the chances that are served.
    """

    weight: Callable[[float, float], float] = lambda target, chance: 1.0
    calibrated: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda chances: chances


PLAIN = Loss()


def learn(
    seen: list[Visit],
    labels: Iterable[tuple[int, LabeledSlate]],
    warm_ms: int,
    publish_ms: int = 1_000,
    rate: float = 0.02,
    loss: Loss = PLAIN,
) -> Result:
    """Score every slate with what was learned before it, then go on learning.

    Args:
        seen: the slates, in order.
        labels: (when it is known, label), in order.
        warm_ms: what is not scored at the beginning.
        publish_ms: from one version that is served to the next.
        rate: the step of the logistic regression; constant, since tastes drift.
        loss: what becomes of a sample's weight, and of a score; by default nothing.
    """
    features = {visit.impression.request_id: visit.features for visit in seen}
    model, ledger = _Logistic(seen[0].features.shape[1], rate, loss), Ledger(capacity=100_000)
    stream, scores, targets, ages = iter(labels), [], [], []
    coming, published = next(stream, None), 0
    for visit in seen:
        ts = visit.impression.ts
        while coming is not None and coming[0] < ts:
            at, label = coming
            for target in ledger.admit(label):
                model.learn(features[label.request_id][target.position], target.targets[0], target.weights[0])
                ages.append(at - label.ts)
            coming = next(stream, None)
        if ts // publish_ms > published:
            published = ts // publish_ms
            model.publish()
        if ts >= START_TS + warm_ms:
            scores.append(model.score(visit.features))
            targets.append(visit.clicked)
    found, truth = np.concatenate(scores), np.concatenate(targets)
    return Result(auc(found, truth), log_loss(found, truth), float(np.mean(ages)) / 1_000)


def closed(result: Result, wait: Result, oracle: Result) -> float:
    """Return the share of the AUC gap between waiting and the oracle that an arm closes."""
    return (result.auc - wait.auc) / (oracle.auc - wait.auc)


class _Logistic:
    """Learns with its weights, scores with those published last."""

    def __init__(self, features: int, rate: float, loss: Loss) -> None:
        self._weights = np.zeros(features + 1)
        self._served = self._weights
        self._rate = rate
        self._loss = loss

    def publish(self) -> None:
        self._served = self._weights.copy()

    def score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._loss.calibrated(_chances(features, self._served))

    def learn(self, features: NDArray[np.float64], target: float, weight: float) -> None:
        chance = float(_chances(features, self._weights))
        error = self._rate * weight * self._loss.weight(target, chance) * (target - chance)
        self._weights[:-1] += error * features
        self._weights[-1] += error


def _chances(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    chances: NDArray[np.float64] = 1 / (1 + np.exp(-(features @ weights[:-1] + weights[-1])))
    return chances


def _visit(laws: Delayed, rng: np.random.Generator, ts: int, user: int, number: int) -> Visit:
    size = laws.slate_size
    features = rng.normal(size=(size, laws.features))
    likely = 1 / (1 + np.exp(-(features @ taste(laws, ts) + laws.bias)))
    late = laws.late_ms * rng.pareto(laws.late_tail, size)
    delays = 1 + np.where(rng.random(size) < laws.late_share, late, rng.exponential(laws.soon_ms, size))
    impression = Impression(
        event_id=f"i-{number}",
        request_id=f"r-{number}",
        user_id=f"user-{user}",
        ts=ts,
        surface=SURFACE,
        items=[ShownItem(item_id=f"{number}-{place}", position=place) for place in range(size)],
    )
    return Visit(impression, features, np.where(rng.random(size) < likely, delays, np.inf))


def events_of(seen: list[Visit]) -> list[Impression | Click]:
    """What users see and do, in event-time order."""
    events: list[Impression | Click] = []
    for visit in seen:
        shown = visit.impression
        events.append(shown)
        for item, delay in zip(shown.items, visit.delays_ms, strict=True):
            if delay < np.inf:
                name, ts = f"c-{item.item_id}", shown.ts + int(delay)
                of = {"request_id": shown.request_id, "user_id": shown.user_id, "item_id": item.item_id}
                events.append(Click(event_id=name, ts=ts, **of))
    return sorted(events, key=lambda event: event.ts)


def label_of(shown: Impression, ts: int, outcomes: list[Outcome], revision: int = 0) -> LabeledSlate:
    """A label of a slate that is told at a time."""
    return LabeledSlate(
        request_id=shown.request_id,
        revision=revision,
        user_id=shown.user_id,
        ts=shown.ts,
        observed_ts=ts,
        surface=shown.surface,
        session=Session(),
        slate=[item.item_id for item in shown.items],
        outcomes=outcomes,
    )
