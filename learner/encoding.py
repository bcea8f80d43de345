"""PURE: queries → numbers. Live scoring, training and offline evaluation all pass through here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learner.catalogue import Catalogue
from learner.counters import Counters
from learner.features import features
from learner.query import Query
from learner.rows import Vocabulary

ACTIONS = ("", "click", "dwell", "like", "negative", "rating", "other")
SATISFACTION_BUCKETS = 6  # 0 = unknown, 1…5 = fifths
AGE_BUCKETS = 16  # powers of two of seconds, up to about nine hours and beyond

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One query as numbers: a session of l tokens, oldest first, and n candidates with F fast features."""

    user: int
    context: int
    query: Floats  # [text width], or [0] where nothing was searched for
    session: Ints  # [l] item rows
    actions: NDArray[np.int8]  # [l]
    satisfactions: NDArray[np.int8]  # [l]
    ages: NDArray[np.int8]  # [l]
    rows: Ints  # [n] item rows
    features: Floats  # [n, F]


class Encoder:
    """Turns ids into rows and counts into features, with the counts of this moment."""

    def __init__(self, vocabulary: Vocabulary, catalogue: Catalogue, counters: Counters, length: int) -> None:
        self._vocabulary = vocabulary
        self._catalogue = catalogue
        self._counters = counters
        self.length = length

    def encode(self, query: Query, admit: bool = False, query_vector: Floats | None = None) -> Encoded:
        """Encode one query; `admit` gives rows to ids that have none (training does, scoring does not)."""
        index = self._vocabulary
        recent = query.session.recent[-self.length :]
        session = index.items.rows([item.item_id for item in recent], admit)
        rows = index.items.rows(query.candidates, admit)
        satisfaction = np.array(
            [-1.0 if i.satisfaction is None else i.satisfaction for i in recent], np.float32
        )
        context = self.context(query.surface, admit)
        return Encoded(
            user=(index.users.admit if admit else index.users.lookup)(query.user_id),
            context=context,
            query=np.zeros(0, np.float32) if query_vector is None else query_vector,
            session=session,
            actions=np.array([_action(item.action) for item in recent], np.int8),
            satisfactions=np.where(satisfaction < 0, 0, 1 + np.minimum(satisfaction * 5, 4)).astype(np.int8),
            ages=np.array([_age(item.age_s) for item in recent], np.int8),
            rows=rows,
            features=features(
                query.session, satisfaction, query.ts, context, session, rows, self._catalogue, self._counters
            ),
        )

    def context(self, surface: str, admit: bool = False) -> int:
        """The context row of a surface."""
        contexts = self._vocabulary.contexts
        return (contexts.admit if admit else contexts.lookup)(f"surface={surface}")

    def attributes_of(self, rows: Ints) -> Ints:
        """Attribute rows of items, int32 [n, SLOTS]; 0 where a slot is empty."""
        slots: Ints = self._catalogue.attributes[rows]
        return slots


def _action(action: str) -> int:
    return ACTIONS.index(action) if action in ACTIONS else len(ACTIONS) - 1


def _age(age_s: float) -> int:
    return min(int(np.log2(1 + age_s)), AGE_BUCKETS - 1)
