"""The arms that wait and train again: from the base, on all that the stream has brought so far."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learner.backfill import continued
from learner.base import Base
from learner.batching import Example
from learner.catalogue import Embed
from learner.fitting import BackfillSettings
from learner.intake import Intake
from learner.learned_arms import Served
from learner.ledger import Ledger
from learner.query import Query
from learner.scorer import fork
from learner.update_settings import UpdateSettings
from schemas.events import Item
from schemas.labels import LabeledSlate

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


class Retrained:
    """`batch-daily` and `batch-hourly`: a version is the base after one epoch over all of the stream so far.

    The base has learned what came before the stream. An epoch runs in the order of time; so training again
    from the base would begin with the steps that led to the last version. It goes on from there instead, by
    an epoch over what is new. Counts are served as they were at the end of the training, as a batch
    pipeline serves them.
    """

    published_bytes: Sequence[int] = ()

    def __init__(self, base: Base, items: Sequence[Item], embed: Embed, settings: BackfillSettings) -> None:
        self._knowledge = base.knowledge(embed)
        self._knowledge.catalogue.put(items)
        known = self._knowledge
        self._intake = Intake(known, Ledger(UpdateSettings.ledger), np.random.default_rng(settings.seed))
        self._ranker = base.ranker()
        self._train = continued(self._ranker, known, settings)
        self._new: list[Example] = []
        self._served = self._freeze()

    @property
    def trained_parameters(self) -> int:
        """Every weight of the base."""
        return sum(parameter.numel() for parameter in self._ranker.parameters())

    def score(self, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        """Probabilities, one array [n candidates, K] a query."""
        return self._served.score(queries)

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Keep the examples for the next training; they are encoded once, as they come."""
        self._new += (example for example in self._intake.take(slates) if example is not None)

    def publish(self) -> None:
        """Train, and serve what came of it."""
        self._train(self._new)
        self._new.clear()
        self._served = self._freeze()

    def serving(self) -> Served:
        """The newest version."""
        return self._served

    def _freeze(self) -> Served:
        return Served(fork(self._ranker), self._knowledge.with_own_counts())
