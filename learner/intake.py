"""PURE: labelled slates → examples. Encodes with the counts of the moment, and only then counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learner.batching import Example
from learner.catalogue import Embed
from learner.counters import CLICKED, EXPECTED, SATISFIED, SHOWN, WIDTH, Counters
from learner.encoding import Encoder
from learner.ledger import Ledger, TrainingTarget
from learner.query import TASKS, Query
from learner.rows import Vocabulary
from schemas.labels import LabeledSlate

_CLICK, _SATISFIED = TASKS.index("click"), TASKS.index("satisfied")


class Intake:
    """The one way from a label to an example: leave out what was learned before, encode, then count."""

    def __init__(
        self, vocabulary: Vocabulary, encoder: Encoder, counters: Counters, ledger: Ledger, embed: Embed
    ) -> None:
        self._vocabulary = vocabulary
        self._encoder = encoder
        self._counters = counters
        self._embed = embed
        self.ledger = ledger

    def take(self, slate: LabeledSlate) -> Example | None:
        """The example of one revision; None where nothing of it is new."""
        targets = self.ledger.admit(slate)
        if not targets:
            return None
        vector = self._embed([slate.session.query])[0] if slate.session.query else None
        encoded = self._encoder.encode(_query(slate, targets), admit=True, query_vector=vector)
        example = Example(
            encoded=encoded,
            positions=np.array([target.position for target in targets], np.int32),
            targets=np.array([target.targets for target in targets], np.float32),
            weights=np.array([target.weights for target in targets], np.float32),
        )
        self._count(example)
        return example

    def _count(self, example: Example) -> None:
        encoded, counters = example.encoded, self._counters
        counts = _counts(example, counters.click_rate(encoded.context))
        counters.add("items", encoded.rows, counts)
        slots = self._encoder.attributes_of(encoded.rows)
        counters.add("attributes", slots.ravel(), np.repeat(counts, slots.shape[1], axis=0))
        counters.add("contexts", np.full(len(counts), encoded.context, np.int32), counts)
        counters.totals += counts.sum(0)


def _query(slate: LabeledSlate, targets: Sequence[TrainingTarget]) -> Query:
    return Query(
        user_id=slate.user_id,
        session=slate.session,
        ts=slate.ts,
        surface=slate.surface,
        candidates=[target.item_id for target in targets],
        context=slate.context,
    )


def _counts(example: Example, click_rate: float) -> NDArray[np.float32]:
    """Exposures, clicks, satisfaction and expected clicks that this example decides, float32 [n, WIDTH]."""
    counts = np.zeros((len(example.positions), WIDTH), np.float32)
    counts[:, SHOWN] = example.weights[:, _CLICK] > 0
    counts[:, EXPECTED] = counts[:, SHOWN] * click_rate
    counts[:, CLICKED] = counts[:, SHOWN] * example.targets[:, _CLICK]
    counts[:, SATISFIED] = (example.weights[:, _SATISFIED] > 0) * example.targets[:, _SATISFIED]
    return counts
