"""PURE: labelled slates → examples. Encodes with the counts of the moment, and only then counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learner.batching import Example
from learner.catalogue import Embed
from learner.counters import CLICKED, EXPECTED, SATISFIED, SHOWN, WIDTH, Counters, Counts
from learner.encoding import Encoder
from learner.ledger import Ledger, Lessons, TrainingTarget
from learner.query import TASKS, Query
from learner.rows import Vocabulary
from schemas.labels import LabeledSlate

_CLICK, _SATISFIED = TASKS.index("click"), TASKS.index("satisfied")


class Intake:
    """The one way from a label to an example: leave out what was learned before, encode, then count.

    A slate's own outcomes are never in the counts that its examples are encoded with: what an earlier
    revision counted is taken out first, or a click would foretell the satisfaction that follows it.
    """

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
        rows = self._vocabulary.items.rows([target.item_id for target in targets], admit=True)
        context = self._encoder.context(slate.surface, admit=True)
        before = _counts([target.before for target in targets])
        after = _counts([target.after for target in targets])
        rate = self._counters.click_rate(context, without=before)
        for counts in (before, after):
            counts[:, EXPECTED] = counts[:, SHOWN] * rate
        self._count(rows, context, -before)
        encoded = self._encoder.encode(_query(slate, targets), admit=True, query_vector=vector)
        self._count(rows, context, after)
        return Example(
            encoded=encoded,
            positions=np.array([target.position for target in targets], np.int32),
            targets=np.array([target.targets for target in targets], np.float32),
            weights=np.array([target.weights for target in targets], np.float32),
        )

    def _count(self, rows: NDArray[np.int32], context: int, counts: Counts) -> None:
        """Add counts [n, WIDTH] of shown items wherever they count."""
        counters = self._counters
        counters.add("items", rows, counts)
        slots = self._encoder.attributes_of(rows)
        counters.add("attributes", slots.ravel(), np.repeat(counts, slots.shape[1], axis=0))
        counters.add("contexts", np.full(len(counts), context, np.int32), counts)
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


def _counts(lessons: Sequence[Lessons]) -> Counts:
    """Exposures, clicks and satisfaction that are known by these lessons, float32 [n, WIDTH]."""
    targets = np.array([lesson.targets for lesson in lessons], np.float32)
    known = np.array([lesson.weights for lesson in lessons], np.float32) > 0
    counts = np.zeros((len(lessons), WIDTH), np.float32)
    counts[:, SHOWN] = known[:, _CLICK]
    counts[:, CLICKED] = (targets * known)[:, _CLICK]
    counts[:, SATISFIED] = (targets * known)[:, _SATISFIED]
    return counts
