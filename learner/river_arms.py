"""PURE: models of the River library on hashed features, taught one outcome at a time."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from river import facto, linear_model, optim
from river.optim.initializers import Normal

from learner.controls import CLICK, SATISFIED, sigmoid
from learner.hashing import BUCKETS, NOTHING, Features, Hasher
from learner.ledger import Ledger, TrainingTarget
from learner.query import TASKS, Query, query_of
from schemas.events import Item
from schemas.labels import LabeledSlate

FACTORS = 10
_PREDICTED = (CLICK, SATISFIED)
"""What is modelled; every other outcome gets its average rate."""

Floats = NDArray[np.floating]


class Model(Protocol):
    """A binary classifier over indicator features, read as arrays: candidates are scored all at once."""

    def learn(self, features: Sequence[int], target: bool, weight: float) -> None:
        """Take one example."""
        ...

    def logits(self, features: Features) -> Floats:
        """Log-odds [n] of features [n, F]."""
        ...


class _Readable(linear_model.LogisticRegression):  # type: ignore[misc]  # river is untyped here
    def weight(self, feature: int) -> float:
        """One weight; River's own `weights` copies them all."""
        value: float = self._weights[feature]
        return value


class Logistic:
    """River's logistic regression, Adagrad. Its weights are mirrored in an array [BUCKETS]."""

    def __init__(self, step: float = 0.02) -> None:
        self._model = _Readable(optimizer=optim.AdaGrad(step), intercept_lr=0.01)
        self._weights = np.zeros(BUCKETS, np.float32)

    def learn(self, features: Sequence[int], target: bool, weight: float) -> None:
        """Take one example."""
        self._model.learn_one(dict.fromkeys(features, 1.0), target, w=weight)
        for feature in features:
            self._weights[feature] = self._model.weight(feature)

    def logits(self, features: Features) -> Floats:
        """Log-odds [n] of features [n, F]."""
        total: Floats = self._weights[features].sum(1) + self._model.intercept
        return total


class Factorization:
    """River's factorization machine, SGD, mirrored in arrays; a feature never learned has no factors yet."""

    def __init__(self, seed: int, step: float = 0.01, factor_step: float = 0.01) -> None:
        self._settings = (seed, step, factor_step)
        self._model = facto.FMClassifier(**self.describe())
        self._weights = np.zeros(BUCKETS, np.float32)
        self._factors = np.zeros((BUCKETS, FACTORS), np.float32)

    def learn(self, features: Sequence[int], target: bool, weight: float) -> None:
        """Take one example."""
        self._model.learn_one(dict.fromkeys(features, 1.0), target, w=weight)
        for feature in features:
            self._weights[feature] = self._model.weights[feature]
            self._factors[feature] = self._model.latents[feature]

    def describe(self) -> dict[str, Any]:
        """What River is told of the model."""
        seed, step, factor_step = self._settings
        return {
            "n_factors": FACTORS,
            "weight_optimizer": optim.SGD(step),
            "latent_optimizer": optim.SGD(factor_step),
            "latent_initializer": Normal(mu=0.0, sigma=0.05, seed=seed),
            "seed": seed,
        }

    def logits(self, features: Features) -> Floats:
        """Log-odds [n] of features [n, F]. Source: Factorization Machines (Rendle, ICDM 2010), eq. 5."""
        factors = self._factors[features]
        pairs = (factors.sum(1) ** 2 - (factors**2).sum(1)).sum(1) / 2
        total: Floats = self._weights[features].sum(1) + pairs + self._model.intercept
        return total


class River:
    """An arm of one model a task over hashed features."""

    published_bytes: Sequence[int] = ()

    def __init__(self, items: Sequence[Item], models: Sequence[Model], crosses: bool) -> None:
        """`models` are for click and satisfied, in this order."""
        self._hasher = Hasher(items, crosses)
        self._models = models
        self._ledger = Ledger(2**18)
        self._used = np.zeros(BUCKETS, np.bool_)
        self._seen, self._positive = np.ones(len(TASKS)), np.full(len(TASKS), 0.5)

    @property
    def trained_parameters(self) -> int:
        """One weight a feature seen and task, and its factors, if it has any."""
        each = 1 + FACTORS if isinstance(self._models[0], Factorization) else 1
        return int(self._used.sum()) * each * len(self._models)

    def score(self, queries: Sequence[Query]) -> list[Floats]:
        """Probabilities per query, [n_candidates, tasks]."""
        return [self._score_one(query) for query in queries]

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Teach every outcome once."""
        for slate in slates:
            targets = self._ledger.admit(slate)
            if targets:
                self._teach(slate, targets)

    def publish(self) -> None:
        """Nothing to do: weights are in force as they are learned."""

    def serving(self) -> "River":
        """A copy."""
        return deepcopy(self)

    def _score_one(self, query: Query) -> Floats:
        features = self._hasher(query)
        scores = np.tile(self._positive / self._seen, (len(features), 1))
        for task, model in zip(_PREDICTED, self._models, strict=True):
            scores[:, task] = sigmoid(model.logits(features))
        return scores

    def _teach(self, slate: LabeledSlate, targets: Sequence[TrainingTarget]) -> None:
        query = query_of(slate, [target.item_id for target in targets])
        for target, row in zip(targets, self._hasher(query), strict=True):
            weights = np.array(target.weights)
            self._seen += weights
            self._positive += weights * np.array(target.targets)
            features = np.unique(row[row != NOTHING])
            self._used[features] = True
            for task, model in zip(_PREDICTED, self._models, strict=True):
                if weights[task] > 0:
                    model.learn(features.tolist(), target.targets[task] >= 1, float(weights[task]))


def river_lr(items: Sequence[Item]) -> River:
    """`river-lr`: logistic regression with crosses."""
    return River(items, [Logistic() for _ in _PREDICTED], crosses=True)


def river_fm(items: Sequence[Item], seed: int) -> River:
    """`river-fm`: a factorization machine; it finds the crosses itself."""
    return River(items, [Factorization(seed) for _ in _PREDICTED], crosses=False)
