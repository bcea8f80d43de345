"""The arms that start from a trained base: the online learner, and the base as it was."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learner.base import Base
from learner.catalogue import Embed
from learner.online import OnlineLearner
from learner.query import Query
from learner.scorer import score
from learner.update import UpdateSettings
from schemas.events import Item
from schemas.labels import LabeledSlate

_BATCH = 256
"""Most slates of one step, as in the live loop."""


class AdaLora:
    """The live learner, step for step; it scores with the weights it has, which are those just published."""

    def __init__(self, base: Base, items: Sequence[Item], embed: Embed, seed: int) -> None:
        self._learner = OnlineLearner(base, embed, UpdateSettings(), seed)
        self._learner.knowledge.catalogue.put(items)
        self._published: list[int] = []

    def score(self, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        """Probabilities, one array [n candidates, K] a query."""
        return score(self._learner.ranker, self._learner.knowledge, queries, "cpu")

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Learn labels in the order in which they were observed."""
        for start in range(0, len(slates), _BATCH):
            self._learner.learn(slates[start : start + _BATCH])

    def publish(self) -> None:
        """Write the checkpoint that scorers would get, for its size."""
        self._published.append(len(self._learner.checkpoint().payload))

    @property
    def published_bytes(self) -> Sequence[int]:
        """Bytes of each checkpoint."""
        return self._published

    @property
    def trained_parameters(self) -> int:
        """Numbers that the stream moves."""
        return sum(p.numel() for p in self._learner.ranker.parameters() if p.requires_grad)


class Frozen:
    """The base, never updated: neither weights nor counts."""

    published_bytes: Sequence[int] = ()
    trained_parameters = 0

    def __init__(self, base: Base, items: Sequence[Item], embed: Embed) -> None:
        self._ranker = base.ranker()
        self._knowledge = base.knowledge(embed)
        self._knowledge.catalogue.put(items)

    def score(self, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        """Probabilities, one array [n candidates, K] a query."""
        return score(self._ranker, self._knowledge, queries, "cpu")

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Nothing: that is what frozen means."""

    def publish(self) -> None:
        """Nothing."""
