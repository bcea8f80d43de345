"""PURE: the controls that count: smoothed rates, and popularity in windows of event time."""

from collections import deque
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

from learner.ledger import Ledger, TrainingTarget
from learner.query import TASKS, Query
from learner.rows import RowIndex
from schemas.labels import LabeledSlate

CAPACITY = 2**18
"""Ids counted per factor; later ones share the unknown row, which stays at the average."""

CLICK, SATISFIED = TASKS.index("click"), TASKS.index("satisfied")
_DAY_MS = 86_400_000
_CERTAIN = 1e-6

Floats = NDArray[np.floating]


class CandidateRows:
    """Rows of candidates, kept while consecutive queries share one candidates object."""

    def __init__(self, index: RowIndex) -> None:
        self._index = index
        self._last: tuple[Sequence[str], NDArray[np.int32]] | None = None

    def __call__(self, candidates: Sequence[str]) -> NDArray[np.int32]:
        """Rows [n] of the candidates; 0 for those without one."""
        if self._last is None or self._last[0] is not candidates:
            self._last = (candidates, self._index.rows(candidates))
        return self._last[1]

    def forget(self) -> None:
        """Look up anew: the index has grown."""
        self._last = None


class _Rates:
    """How often each id of one factor was followed by each outcome, shrunk towards the average."""

    def __init__(self, strength: float) -> None:
        self.index = RowIndex(CAPACITY)
        self._strength = strength
        self._seen = np.zeros((CAPACITY, len(TASKS)))
        self._positive = np.zeros((CAPACITY, len(TASKS)))

    def add(self, key: str, targets: Floats, weights: Floats) -> None:
        row = self.index.admit(key)
        if row:
            self._seen[row] += weights
            self._positive[row] += weights * targets

    def above(self, rows: NDArray[np.int32], average: Floats) -> Floats:
        """Log-odds above the average, [n, tasks]; 0 for ids never seen."""
        rates = (self._positive[rows] + self._strength * average) / (self._seen[rows] + self._strength)
        return logit(rates) - logit(average)


class SmoothedRates:
    """`ctr`: log-odds of the average, plus what user, item and surface are above it, each smoothed.

    The reference "user + item rate + surface" of the evaluation design, with every outcome as its own rate.
    """

    published_bytes: Sequence[int] = ()

    def __init__(self, user: float = 5.0, item: float = 10.0, surface: float = 20.0) -> None:
        """Pseudo-exposures by which each factor is shrunk."""
        self._users, self._items, self._surfaces = _Rates(user), _Rates(item), _Rates(surface)
        self._rows = CandidateRows(self._items.index)
        # One exposure at even odds: defined from the start, forgotten at once.
        self._seen, self._positive = np.ones(len(TASKS)), np.full(len(TASKS), 0.5)
        self._ledger = Ledger(CAPACITY)

    @property
    def trained_parameters(self) -> int:
        """One rate an id and task."""
        factors = (self._users, self._items, self._surfaces)
        return len(TASKS) * sum(len(factor.index) for factor in factors)

    def score(self, queries: Sequence[Query]) -> list[Floats]:
        """Probabilities per query, [n_candidates, tasks]."""
        average = self._positive / self._seen
        return [self._score_one(query, average) for query in queries]

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Count every outcome once."""
        for slate in slates:
            for target in self._ledger.admit(slate):
                self._count(slate, target)
        self._rows.forget()

    def publish(self) -> None:
        """Nothing to do: counts are in force as they are made."""

    def serving(self) -> "SmoothedRates":
        """A copy."""
        return deepcopy(self)

    def _score_one(self, query: Query, average: Floats) -> Floats:
        user = self._users.above(self._users.index.rows([query.user_id]), average)
        surface = self._surfaces.above(self._surfaces.index.rows([query.surface]), average)
        return sigmoid(
            logit(average) + user + surface + self._items.above(self._rows(query.candidates), average)
        )

    def _count(self, slate: LabeledSlate, target: TrainingTarget) -> None:
        targets, weights = np.array(target.targets), np.array(target.weights)
        # A rate counts events: an item satisfied if it was given all the attention it could expect.
        targets[SATISFIED] = targets[SATISFIED] >= 1
        self._seen += weights
        self._positive += weights * targets
        self._users.add(slate.user_id, targets, weights)
        self._items.add(target.item_id, targets, weights)
        self._surfaces.add(slate.surface, targets, weights)


class _Window:
    """Clicks per row within the last `days` of event time, and how well it would have foretold each click."""

    def __init__(self, days: int) -> None:
        self._length_ms = days * _DAY_MS
        self._clicks: deque[tuple[int, int]] = deque()
        self.counts = np.zeros(CAPACITY)
        self.likelihood = 0.0

    def add(self, ts: int, row: int, items: int) -> None:
        """Judge the window by a click before counting it; `items` is how many there are to choose from."""
        while self._clicks and self._clicks[0][0] < ts - self._length_ms:
            self.counts[self._clicks.popleft()[1]] -= 1
        self.likelihood += float(np.log((self.counts[row] + 1) / (len(self._clicks) + items)))
        self._clicks.append((ts, row))
        self.counts[row] += 1

    def __len__(self) -> int:
        return len(self._clicks)


class Popularity:
    """`popularity`: clicks in the last 7, 30 or 365 days, whichever foretold the clicks so far best.

    The window is chosen by the likelihood of each click before it was counted, so no choice looks ahead.
    A score is a click rate only in order of size: the average item gets the average rate.
    """

    published_bytes: Sequence[int] = ()

    def __init__(self, days: Sequence[int] = (7, 30, 365)) -> None:
        self._index = RowIndex(CAPACITY)
        self._rows = CandidateRows(self._index)
        self._windows = [_Window(length) for length in days]
        self._seen, self._positive = np.ones(len(TASKS)), np.full(len(TASKS), 0.5)
        self._ledger = Ledger(CAPACITY)

    @property
    def trained_parameters(self) -> int:
        """One count an item."""
        return len(self._index)

    def score(self, queries: Sequence[Query]) -> list[Floats]:
        """Probabilities per query, [n_candidates, tasks]."""
        best = max(self._windows, key=lambda window: window.likelihood)
        average = self._positive / self._seen
        # count / (count + m) is the average rate where the count is the mean count.
        mean = (len(best) + 1) / len(self._index)
        counts = [best.counts[self._rows(query.candidates), None] for query in queries]
        return [(count + _CERTAIN) / (count + _CERTAIN + mean * (1 - average) / average) for count in counts]

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Count every click once, at the time it was observed."""
        for slate in slates:
            for target in self._ledger.admit(slate):
                self._count(slate.observed_ts, target)
        self._rows.forget()

    def publish(self) -> None:
        """Nothing to do: counts are in force as they are made."""

    def serving(self) -> "Popularity":
        """A copy."""
        return deepcopy(self)

    def _count(self, ts: int, target: TrainingTarget) -> None:
        weights = np.array(target.weights)
        self._seen += weights
        self._positive += weights * np.array(target.targets)
        row = self._index.admit(target.item_id)
        if row and weights[CLICK] and target.targets[CLICK]:
            for window in self._windows:
                window.add(ts, row, len(self._index))


def logit(p: Floats) -> Floats:
    """Log-odds; finite for 0 and 1.

    >>> float(logit(np.array(0.5)))
    0.0
    """
    p = np.clip(p, _CERTAIN, 1 - _CERTAIN)
    odds: Floats = np.log(p / (1 - p))
    return odds


def sigmoid(x: Floats) -> Floats:
    """Probability of log-odds.

    >>> float(sigmoid(np.array(0.0)))
    0.5
    """
    p: Floats = 1 / (1 + np.exp(-x))
    return p
