"""PURE: queries → numbers. Live scoring, training and offline evaluation all pass through here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learner.catalogue import KEY_SLOTS, TAG_SLOTS, Catalogue
from learner.counters import Counters
from learner.query import Query
from learner.rows import Vocabulary
from schemas.labels import Session

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
        context = (index.contexts.admit if admit else index.contexts.lookup)(f"surface={query.surface}")
        return Encoded(
            user=(index.users.admit if admit else index.users.lookup)(query.user_id),
            context=context,
            query=np.zeros(0, np.float32) if query_vector is None else query_vector,
            session=session,
            actions=np.array([_action(item.action) for item in recent], np.int8),
            satisfactions=np.where(satisfaction < 0, 0, 1 + np.minimum(satisfaction * 5, 4)).astype(np.int8),
            ages=np.array([_age(item.age_s) for item in recent], np.int8),
            rows=rows,
            features=self._features(query, context, session, satisfaction, rows),
        )

    def attributes_of(self, rows: Ints) -> Ints:
        """Attribute rows of items, int32 [n, SLOTS]; 0 where a slot is empty."""
        slots: Ints = self._catalogue.attributes[rows]
        return slots

    def _features(
        self, query: Query, context: int, session: Ints, satisfaction: Floats, rows: Ints
    ) -> Floats:
        shared = np.concatenate(
            [
                session_features(query.session, self._counters.totals),
                _clock(query.ts),
                self._counters.rates("contexts", np.array(context, np.int32)),
            ]
        )
        parts = [
            np.broadcast_to(shared, (len(rows), len(shared))),
            item_features(self._catalogue, self._counters, rows, query.ts),
            match_features(self._catalogue, session, satisfaction, rows),
        ]
        return np.concatenate(parts, axis=1, dtype=np.float32)


def session_features(session: Session, totals: NDArray[np.float64]) -> Floats:
    """What is known of the user, float32 [8]: how much they saw, and how often it went well or badly."""
    get = session.counters.get
    shown = get("impressions", 0.0)
    recent = session.recent
    satisfaction = [item.satisfaction for item in recent if item.satisfaction is not None]
    return np.array(
        [
            np.log1p(shown),
            _log_odds(get("clicks", 0.0), shown, totals[1] / totals[0]),
            _log_odds(get("satisfied", 0.0), shown, totals[2] / totals[0]),
            _log_odds(get("likes", 0.0), shown, 0.02),
            _log_odds(get("negatives", 0.0), shown, 0.01),
            np.log1p(len(recent)),
            np.mean(satisfaction) - 0.5 if satisfaction else 0.0,
            np.log1p(recent[-1].age_s) / 5 if recent else 0.0,
        ],
        np.float32,
    )


def _log_odds(count: float, shown: float, prior: float, strength: float = 3.0) -> float:
    """Smoothed log-odds of a user's rate above the average; 0 for a user never seen."""
    rate = min(max((count + strength * prior) / (shown + strength), 1e-3), 1 - 1e-3)
    return float(np.log(rate / (1 - rate)) - np.log(prior / (1 - prior)))


def _clock(ts: int) -> Floats:
    angle = 2 * np.pi * (ts % 86_400_000) / 86_400_000
    return np.array([np.sin(angle), np.cos(angle)], np.float32)


def item_features(catalogue: Catalogue, counters: Counters, rows: Ints, ts: int) -> Floats:
    """Rates of items and their attributes, duration and age, float32 [n, 3 + 3 + 3·KEY_SLOTS + 3]."""
    slots = catalogue.attributes[rows]
    attribute = counters.rates("attributes", slots)  # [n, SLOTS, 3]
    present = slots[:, :TAG_SLOTS, None] > 0
    tags = (attribute[:, :TAG_SLOTS] * present).sum(1) / np.maximum(present.sum(1), 1)
    created = catalogue.created_ts[rows]
    age_days = np.maximum(ts - created, 0) / 86_400_000
    age = np.where(created > 0, np.log1p(age_days), 0.0)
    return np.concatenate(
        [
            counters.rates("items", rows),
            tags,
            attribute[:, TAG_SLOTS:].reshape(len(rows), -1),
            catalogue.log_duration[rows][:, None],
            age[:, None],
            catalogue.known[rows][:, None],
        ],
        axis=1,
        dtype=np.float32,
    )


def match_features(catalogue: Catalogue, session: Ints, satisfaction: Floats, rows: Ints) -> Floats:
    """How the candidate agrees with the session, float32 [n, 4 + KEY_SLOTS].

    Whether the item itself was touched, how many touched items share a tag, their mean satisfaction,
    whether the last touched item shares one, and per attribute key how many share its value.
    """
    if not len(session):
        return np.zeros((len(rows), 4 + KEY_SLOTS), np.float32)
    slots, seen = catalogue.attributes[rows], catalogue.attributes[session]  # [n, SLOTS], [l, SLOTS]
    tags, seen_tags = slots[:, :TAG_SLOTS], seen[:, :TAG_SLOTS]
    equal = (tags[:, None, :, None] == seen_tags[None, :, None, :]) & (tags[:, None, :, None] > 0)
    shared = equal.any((2, 3))  # [n, l]
    keys, seen_keys = slots[:, None, TAG_SLOTS:], seen[None, :, TAG_SLOTS:]
    same_key = ((keys == seen_keys) & (keys > 0)).sum(1)  # [n, KEY_SLOTS]
    liking = np.where(satisfaction < 0, 0.0, satisfaction - 0.5)
    touched = (rows[:, None] == session[None, :]).any(1)
    columns = [
        touched & (rows > 0),
        np.log1p(shared.sum(1)),
        (shared * liking).sum(1) / np.maximum(shared.sum(1), 1),
        shared[:, -1],
    ]
    return np.concatenate([np.stack(columns, 1), np.log1p(same_key)], axis=1, dtype=np.float32)


FEATURES = 8 + 2 + 3 + (3 + 3 + 3 * KEY_SLOTS + 3) + (4 + KEY_SLOTS)
"""Width F of the fast features."""


def _action(action: str) -> int:
    return ACTIONS.index(action) if action in ACTIONS else len(ACTIONS) - 1


def _age(age_s: float) -> int:
    return min(int(np.log2(1 + age_s)), AGE_BUCKETS - 1)
