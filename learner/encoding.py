"""PURE: queries → numbers. Live scoring, training and offline evaluation all pass through here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learner.affinities import Affinities, Near
from learner.agreement import match_features
from learner.catalogue import Catalogue
from learner.counters import Counters, Places, rates
from learner.features import Standing, clock, item_features, own_features, user_features
from learner.match import matches
from learner.query import Query
from learner.recent import side_by_side
from learner.rows import Vocabulary
from learner.shortlist import MOST, shortlist
from schemas.labels import Session, SessionItem
from schemas.opinions import LIKED

ACTIONS = ("", "click", "dwell", "like", "negative", "rating", "other")
SATISFACTION_BUCKETS = 6  # 0 = unknown, 1…5 = fifths
AGE_BUCKETS = 16  # powers of two of seconds, up to about nine hours and beyond

_ACTION = {action: number for number, action in enumerate(ACTIONS)}
_OTHER = len(ACTIONS) - 1

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

NO_ROWS = np.zeros(0, np.int32)
NO_VECTOR = np.zeros(0, np.float32)
LIKES = ("click", "like")
"""Actions that count as a like where satisfaction is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One query as numbers: a session of l tokens, oldest first, and n candidates with F fast features."""

    user: int
    context: int
    query: Floats  # [text width], or [l · text width] of l token states; [0] where nothing was searched for
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


class Asked(NamedTuple):
    """A query's ids as rows, and what the affinities of this moment say of its candidates, [n, MATCHES]."""

    query: Query
    vector: Floats
    user: int
    context: int
    touched: Ints
    rows: Ints
    matched: Floats


class Seen(NamedTuple):
    """A query with all that would be another at a later moment: its rows, and the counts of its candidates.

    `counts` [n, 2 + SLOTS, WIDTH] are those of `Places`, `known` [n, 2 + SLOTS] among them, `totals` [WIDTH]
    of everything.
    """

    asked: Asked
    known: NDArray[np.bool_]
    counts: Floats
    totals: NDArray[np.float64]


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

    def places(self, context: int, rows: Ints) -> Places:
        """Where the counts of candidates stand, by row, that are shown in one context."""
        return self._counters.places(context, rows, self.attributes_of(rows))

    def see(self, query: Query, rows: Ints, query_vector: Floats | None = None) -> Seen:
        """Keep what a query's candidates, and others, are to be encoded with at this moment, by row."""
        asked = self._ask(query, rows, query_vector)
        places = self.places(asked.context, rows)
        return Seen(asked, places.known, self._counters.at(places), self._counters.totals.copy())

    def encode_seen(self, seen: Sequence[Seen]) -> list[Encoded]:
        """Encode each query as of the moment at which it was seen."""
        if not seen:
            return []
        asked = [one.asked for one in seen]
        rows = np.concatenate([one.rows for one in asked])
        totals = np.stack([one.totals for one in seen])
        rated = rates(
            np.concatenate([one.counts for one in seen]),
            np.concatenate([one.known for one in seen]),
            np.repeat(totals, [len(one.rows) for one in asked], axis=0),
        )
        own = own_features(self._catalogue, rows, self.attributes_of(rows), rated[:, 1:])
        return self._encode(asked, rows, totals, rated[:, 0], own)

    def encode_many(self, queries: Sequence[Query], query_vectors: Sequence[Floats | None]) -> list[Encoded]:
        """Encode queries for scoring, at this moment; what they share is worked out once."""
        if not queries:
            return []
        each = [self._vocabulary.items.rows(query.candidates) for query in queries]
        asked = [self._ask(*one) for one in zip(queries, each, query_vectors, strict=True)]
        rows = np.concatenate(each)
        standing = Standing(self._catalogue, self._counters, rows)
        contexts = np.repeat([one.context for one in asked], [len(own) for own in each])
        here = self._counters.tables["contexts"][contexts, None].astype(np.float32)
        totals = self._counters.totals
        return self._encode(
            asked,
            rows,
            np.broadcast_to(totals, (len(asked), len(totals))),
            rates(here, contexts[:, None] > 0, totals)[:, 0],
            standing.of(rows),
        )

    def _ask(self, query: Query, rows: Ints, query_vector: Floats | None) -> Asked:
        if self._affinities is None:
            touched = self._vocabulary.items.rows([item.item_id for item in self._recent(query.session)])
            matched = np.zeros((len(rows), 0), np.float32)
        else:
            lately = self.lately(query.session)
            touched, near = lately.rows, self._near(lately)
            matched = matches(self._catalogue, self._affinities, near, touched, lately.liked, rows, query.ts)
        return Asked(
            query=query,
            vector=NO_VECTOR if query_vector is None else query_vector,
            user=self._vocabulary.users.lookup(query.user_id),
            context=self.context(query.surface),
            touched=touched,
            rows=rows,
            matched=matched,
        )

    def _encode(
        self, asked: Sequence[Asked], rows: Ints, totals: NDArray[np.float64], here: Floats, own: Floats
    ) -> list[Encoded]:
        """Encode B queries with M candidates `rows`; `here` and `own` [M] are `item_features`' arguments."""
        items = [item for one in asked for item in self._recent(one.query.session)]
        actions = np.array([_ACTION.get(item.action, _OTHER) for item in items], np.int8)
        satisfaction = _satisfaction(items)
        ages = np.array([item.age_s for item in items], np.float64)
        lengths, counts = (np.array([len(of) for of in each]) for each in _touched_and_asked(asked))
        recent = side_by_side(np.concatenate([one.touched for one in asked]), satisfaction, ages, lengths)
        ts, of = np.array([one.query.ts for one in asked], np.int64), np.repeat(np.arange(len(asked)), counts)
        users = user_features([one.query.session.counters for one in asked], recent, totals)
        parts = [
            np.concatenate([users, clock(ts)], axis=1)[of],
            item_features(self._catalogue, rows, ts[of], here, own),
            match_features(self._catalogue, recent, rows, counts),
            np.concatenate([one.matched for one in asked]),
        ]
        tokens = (actions, _fifths(satisfaction), _age_buckets(ages))
        return _apart(asked, np.concatenate(parts, axis=1), tokens)

    def _recent(self, session: Session) -> Sequence[SessionItem]:
        return session.recent[-self.length :]

    def lately(self, session: Session) -> Lately:
        """The last items of a session."""
        recent = self._recent(session)
        liked = [
            item.action in LIKES if item.satisfaction is None else item.satisfaction >= LIKED
            for item in recent
        ]
        return Lately(
            rows=self._vocabulary.items.rows([item.item_id for item in recent]),
            satisfaction=_satisfaction(recent),
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


def _touched_and_asked(asked: Sequence[Asked]) -> tuple[list[Ints], list[Ints]]:
    """What each query's session touched, and its candidates."""
    return [one.touched for one in asked], [one.rows for one in asked]


def _apart(asked: Sequence[Asked], features: Floats, tokens: tuple[NDArray[np.int8], ...]) -> list[Encoded]:
    """Each query's own part of features [M, F] and of the sessions' actions, satisfactions and ages."""
    encoded, token, pair = [], 0, 0
    for one in asked:
        own = slice(token, token := token + len(one.touched))
        actions, satisfactions, ages = (values[own] for values in tokens)
        encoded.append(
            Encoded(
                user=one.user,
                context=one.context,
                query=one.vector,
                session=one.touched,
                actions=actions,
                satisfactions=satisfactions,
                ages=ages,
                rows=one.rows,
                features=features[pair : (pair := pair + len(one.rows))],
            )
        )
    return encoded


def _satisfaction(items: Sequence[SessionItem]) -> Floats:
    """How items pleased, −1 where it is not known."""
    return np.array([-1.0 if i.satisfaction is None else i.satisfaction for i in items], np.float32)


def _fifths(satisfaction: Floats) -> NDArray[np.int8]:
    return np.where(satisfaction < 0, 0, 1 + np.minimum(satisfaction * 5, 4)).astype(np.int8)


def _age_buckets(ages_s: NDArray[np.float64]) -> NDArray[np.int8]:
    return np.minimum(np.log2(1 + ages_s), AGE_BUCKETS - 1).astype(np.int8)
