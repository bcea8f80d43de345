"""PURE: queries → numbers. Live scoring, training and offline evaluation all pass through here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learner.affinities import Affinities, Near
from learner.catalogue import Catalogue
from learner.counters import Counters
from learner.features import Standing, features
from learner.match import matches
from learner.query import Query
from learner.rows import Vocabulary
from learner.shortlist import MOST, shortlist
from schemas.labels import Session
from schemas.opinions import LIKED

ACTIONS = ("", "click", "dwell", "like", "negative", "rating", "other")
SATISFACTION_BUCKETS = 6  # 0 = unknown, 1…5 = fifths
AGE_BUCKETS = 16  # powers of two of seconds, up to about nine hours and beyond

_ACTION = {action: number for number, action in enumerate(ACTIONS)}
_OTHER = len(ACTIONS) - 1

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

NO_ROWS = np.zeros(0, np.int32)
LIKES = ("click", "like")
"""Actions that count as a like where satisfaction is not known."""


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


class Lately(NamedTuple):
    """A session's items, oldest first: rows [l], satisfaction [l], −1 unknown, and which were liked [l]."""

    rows: Ints
    satisfaction: Floats
    liked: NDArray[np.bool_]


class Encoder:
    """Turns ids into rows and counts into features, with the counts of this moment."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        catalogue: Catalogue,
        counters: Counters,
        length: int,
        affinities: Affinities | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._catalogue = catalogue
        self._counters = counters
        self._affinities = affinities
        self._last: tuple[tuple[Sequence[str], int, int], Ints] | None = None
        self.length = length

    def encode(
        self,
        query: Query,
        query_vector: Floats | None = None,
        others: Ints = NO_ROWS,
    ) -> Encoded:
        """Encode one query; `others` are rows of more candidates, behind the query's own."""
        rows = np.concatenate([self._vocabulary.items.rows(query.candidates), others])
        return self._encode(query, rows, query_vector)

    def encode_many(self, queries: Sequence[Query], query_vectors: Sequence[Floats | None]) -> list[Encoded]:
        """Encode queries for scoring, as `encode` does; what they share is worked out once."""
        rows = [self._vocabulary.items.rows(query.candidates) for query in queries]
        standing = Standing(self._catalogue, self._counters, np.concatenate([NO_ROWS, *rows]))
        return [
            self._encode(*one, standing=standing) for one in zip(queries, rows, query_vectors, strict=True)
        ]

    def _encode(
        self,
        query: Query,
        rows: Ints,
        query_vector: Floats | None,
        standing: Standing | None = None,
    ) -> Encoded:
        index = self._vocabulary
        recent = query.session.recent[-self.length :]
        lately = self.lately(query.session)
        context = self.context(query.surface)
        return Encoded(
            user=index.users.lookup(query.user_id),
            context=context,
            query=np.zeros(0, np.float32) if query_vector is None else query_vector,
            session=lately.rows,
            actions=np.array([_ACTION.get(item.action, _OTHER) for item in recent], np.int8),
            satisfactions=_fifths(lately.satisfaction),
            ages=_age_buckets(np.array([item.age_s for item in recent])),
            rows=rows,
            features=self._features(query, lately, context, rows, standing),
        )

    def _features(
        self, query: Query, lately: Lately, context: int, rows: Ints, standing: Standing | None
    ) -> Floats:
        touched, satisfaction = lately.rows, lately.satisfaction
        fast = features(
            query.session,
            satisfaction,
            query.ts,
            context,
            touched,
            rows,
            self._catalogue,
            self._counters,
            standing,
        )
        if self._affinities is None:
            return fast
        near = self._near(lately)
        matched = matches(self._catalogue, self._affinities, near, touched, lately.liked, rows, query.ts)
        return np.concatenate([fast, matched], axis=1)

    def lately(self, session: Session) -> Lately:
        """The last items of a session."""
        recent = session.recent[-self.length :]
        liked = [
            item.action in LIKES if item.satisfaction is None else item.satisfaction >= LIKED
            for item in recent
        ]
        return Lately(
            rows=self._vocabulary.items.rows([item.item_id for item in recent]),
            satisfaction=np.array(
                [-1.0 if i.satisfaction is None else i.satisfaction for i in recent], np.float32
            ),
            liked=np.array(liked, np.bool_),
        )

    def shortlist(self, query: Query) -> NDArray[np.intp] | None:
        """Indices of the candidates that are worth scoring; None where all are, or nothing says which."""
        if self._affinities is None or len(query.candidates) <= MOST:
            return None
        rows = self._rows(query.candidates)
        kept = np.ones(len(rows), np.bool_)
        kept[np.asarray(query.excluded, np.intp)] = False
        asked = np.flatnonzero(kept)
        few = asked[self._shortlist(query, self._affinities, rows[asked])]
        return few if len(few) else None

    def suggest(self, query: Query) -> Ints:
        """Rows of the catalogue that would be scored, were all of it asked for; none where nothing says."""
        if self._affinities is None:
            return NO_ROWS
        rows = np.flatnonzero(self._catalogue.known).astype(np.int32)
        return rows[self._shortlist(query, self._affinities, rows)]

    def _shortlist(self, query: Query, affinities: Affinities, rows: Ints) -> NDArray[np.intp]:
        lately = self.lately(query.session)
        return shortlist(self._catalogue, affinities, self._near(lately), lately.rows, rows, query.ts)

    def _near(self, lately: Lately) -> Near:
        assert self._affinities is not None
        return self._affinities.near(lately.rows, lately.liked, len(self._vocabulary.items))

    def _rows(self, candidates: Sequence[str]) -> Ints:
        """Rows of candidates, kept while queries share one candidates object and no id gets a row."""
        items = self._vocabulary.items
        known = (candidates, len(items), 0 if items.turnover is None else items.turnover.clock)
        if self._last is None or self._last[0][0] is not candidates or self._last[0][1:] != known[1:]:
            self._last = (known, self._vocabulary.items.rows(candidates))
        return self._last[1]

    def context(self, surface: str, admit: bool = False) -> int:
        """The context row of a surface."""
        contexts = self._vocabulary.contexts
        return (contexts.admit if admit else contexts.lookup)(f"surface={surface}")

    def attributes_of(self, rows: Ints) -> Ints:
        """Attribute rows of items, int32 [n, SLOTS]; 0 where a slot is empty."""
        slots: Ints = self._catalogue.attributes[rows]
        return slots


def _fifths(satisfaction: Floats) -> NDArray[np.int8]:
    return np.where(satisfaction < 0, 0, 1 + np.minimum(satisfaction * 5, 4)).astype(np.int8)


def _age_buckets(ages_s: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.minimum(np.log2(1 + ages_s), AGE_BUCKETS - 1).astype(np.int8)
