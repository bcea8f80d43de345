"""The arms that start from a trained base and learn by low rank, and the base as it was."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learner.base import Base
from learner.catalogue import Embed
from learner.knowledge import Knowledge
from learner.online import OnlineLearner
from learner.query import Query
from learner.ranker import Ranker
from learner.scorer import fork, score
from learner.update_settings import UpdateSettings
from schemas.events import Item
from schemas.labels import LabeledSlate

BATCH = 256
"""Most slates of one step, as in the live loop."""

MEASURED_EVERY = 7
"""Every so many checkpoints one is encoded for its size. No divisor of FULL_EVERY: full ones count, too."""


class Served:
    """A ranker, and the counts it is asked with, that nobody changes any more."""

    def __init__(self, ranker: Ranker, knowledge: Knowledge) -> None:
        self._ranker, self._knowledge = ranker, knowledge

    def score(self, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        """Probabilities, one array [n candidates, K] a query."""
        return score(self._ranker, self._knowledge, queries, "cpu")


class AdaLora:
    """The live learner, step for step; it scores with the weights it has, which are those just published."""

    def __init__(
        self,
        base: Base,
        items: Sequence[Item],
        embed: Embed,
        seed: int,
        settings: UpdateSettings = UpdateSettings(),  # noqa: B008  # frozen
    ) -> None:
        self._learner = OnlineLearner(base, embed, settings, seed)
        self._learner.put_items(items)
        self._published: list[int] = []
        self._versions = 0

    def score(self, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        """Probabilities, one array [n candidates, K] a query."""
        return score(self._learner.ranker, self._learner.knowledge, queries, "cpu")

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Learn labels in the order in which they were observed."""
        for start in range(0, len(slates), BATCH):
            self._learner.learn(slates[start : start + BATCH])

    def publish(self) -> None:
        """Draw up the checkpoint that scorers would get; one in a few is encoded, for its size."""
        draft = self._learner.checkpoint()
        if self._versions % MEASURED_EVERY == 0:
            self._published.append(len(draft.payload))
        self._versions += 1

    def serving(self) -> Served:
        """The weights and counts of now."""
        return Served(fork(self._learner.ranker), self._learner.knowledge.with_own_counts())

    @property
    def published_bytes(self) -> Sequence[int]:
        """Bytes of a sample of the checkpoints."""
        return self._published

    @property
    def trained_parameters(self) -> int:
        """Numbers that the stream moves."""
        return sum(p.numel() for p in self._learner.ranker.parameters() if p.requires_grad)


def fixed_rank(settings: UpdateSettings) -> UpdateSettings:
    """The same learner without allocation: every layer has the rank that adalora's have in the mean."""
    return replace(settings, rank=settings.mean_rank, exchange=0.0)


class Frozen(Served):
    """The base, never updated: neither weights nor counts."""

    published_bytes: Sequence[int] = ()
    trained_parameters = 0

    def __init__(self, base: Base, items: Sequence[Item], embed: Embed) -> None:
        knowledge = base.knowledge(embed)
        knowledge.catalogue.put(items)
        super().__init__(base.ranker(), knowledge)

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Nothing: that is what frozen means."""

    def publish(self) -> None:
        """Nothing."""

    def serving(self) -> Served:
        """Itself, which never changes."""
        return self
