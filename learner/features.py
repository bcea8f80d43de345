"""PURE: the fast features: counts of this moment as numbers, n candidates at a time.

They are fresh even where the weights are not. In a trial on KuaiRand they were worth more than any
change of architecture (design 04).
"""

import numpy as np
from numpy.typing import NDArray

from learner.catalogue import KEY_SLOTS, NUMBER_SLOTS, TAG_SLOTS, Catalogue
from learner.counters import RATES, Counters
from learner.weighing import weighted
from schemas.labels import Session

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

USER = 14
ITEM = RATES * (3 + KEY_SLOTS) + 3 + NUMBER_SLOTS
MATCH = 6 + KEY_SLOTS
FEATURES = USER + 2 + ITEM + MATCH
"""Width F of the fast features."""

_STRENGTH = 3.0
"""Pseudo-observations that hold a user's rates at the average."""

_BEFORE_AGE = RATES * (2 + KEY_SLOTS) + 1
"""Of the columns that are an item's own, those before its age."""

_FEW = 32
"""Up to so many candidates are compared with each touched item; of more, slots are looked up in a table."""

_LATELY_S = 43_200.0
_FADING = np.array([[0.8], [0.95]]) ** np.arange(63, -1, -1)  # [2, 64]: what came last counts most
_LIKE_LENGTH = 0.4
"""Standard deviation, in log-seconds, of the kernel that calls two items similarly long."""


def features(
    session: Session,
    satisfaction: Floats,
    ts: int,
    context: int,
    touched: Ints,
    rows: Ints,
    catalogue: Catalogue,
    counters: Counters,
    standing: "Standing | None" = None,
) -> Floats:
    """All features of candidates `rows` [n], float32 [n, F].

    `touched` [l] are the rows of the session's items, `satisfaction` [l] how they pleased, −1 unknown.
    `standing` knows of the candidates what does not depend on the query, where it was worked out before.
    """
    shared = np.concatenate([user_features(session, satisfaction, counters.totals), clock(ts)])
    parts = [
        np.broadcast_to(shared, (len(rows), len(shared))),
        item_features(catalogue, counters, context, rows, ts, standing),
        match_features(catalogue, touched, satisfaction, rows),
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def user_features(session: Session, satisfaction: Floats, totals: NDArray[np.float64]) -> Floats:
    """What is known of the user, float32 [USER]: how much they saw, how it went, in all and lately."""
    get = session.counters.get
    shown, dwells = get("impressions", 0.0), get("dwells", 0.0)
    # Touches may be known without their impressions, as from a history that was logged elsewhere.
    seen = max(shown, dwells)
    click, satisfied = totals[1] / totals[0], totals[2] / totals[0]
    return np.array(
        [
            np.log1p(shown),
            _log_odds(get("clicks", 0.0), shown, click),
            np.log1p(dwells),
            _log_odds(get("satisfied", 0.0), dwells, satisfied),
            _log_odds(dwells, seen, 0.5),
            _log_odds(get("likes", 0.0), seen, 0.02),
            _log_odds(get("negatives", 0.0), seen, 0.01),
            *_recently(session, satisfaction, satisfied),
        ],
        np.float32,
    )


def _recently(session: Session, satisfaction: Floats, average: float) -> list[float]:
    """The session itself, 7 numbers: length, satisfaction fading at two speeds, lately and last, and age."""
    length = min(len(session.recent), len(satisfaction), _FADING.shape[1])
    if not length:
        return [0.0] * 7
    recent, satisfaction = session.recent[-length:], satisfaction[-length:]
    known = satisfaction >= 0
    over = np.where(known, satisfaction - average, 0.0)
    fading = _FADING[:, -len(recent) :]
    quick, slow = (fading @ over) / (fading @ known + 1)
    since = next((n for n, item in enumerate(recent) if item.age_s < _LATELY_S), len(recent))
    return [
        np.log1p(len(recent)),
        quick,
        slow,
        np.log1p(len(recent) - since),
        over[since:].sum() / (known[since:].sum() + 1),
        over[-1],
        np.log1p(recent[-1].age_s) / 5,
    ]


def _log_odds(count: float, shown: float, prior: float) -> float:
    """Smoothed log-odds of a user's rate above the average; 0 for a user never seen."""
    rate = min(max((count + _STRENGTH * prior) / (shown + _STRENGTH), 1e-3), 1 - 1e-3)
    return float(np.log(rate / (1 - rate)) - np.log(prior / (1 - prior)))


def clock(ts: int) -> Floats:
    """The hour of the day as a point on a circle, float32 [2]."""
    angle = 2 * np.pi * (ts % 86_400_000) / 86_400_000
    return np.array([np.sin(angle), np.cos(angle)], np.float32)


def item_features(
    catalogue: Catalogue,
    counters: Counters,
    context: int,
    rows: Ints,
    ts: int,
    standing: "Standing | None" = None,
) -> Floats:
    """Rates of the context, the items and their attributes; duration, age, numbers; float32 [n, ITEM].

    Tags are averaged, since they have no order; every attribute key has columns of its own.
    """
    if standing is None:
        slots = catalogue.attributes[rows]
        numbers = {"contexts": np.full((len(rows), 1), context), "items": rows[:, None], "attributes": slots}
        rates = counters.rates(numbers)  # [n, 2 + SLOTS, RATES]
        here, own = rates[:, 0], _own(catalogue, rows, slots, rates[:, 1:])
    else:
        here = np.broadcast_to(counters.rates({"contexts": np.array([[context]])})[0], (len(rows), RATES))
        own = standing.of(rows)
    created = catalogue.created_ts[rows]
    age = np.where(created > 0, np.log1p(np.maximum(ts - created, 0) / 86_400_000), 0.0)
    parts = [here, own[:, :_BEFORE_AGE], age[:, None], own[:, _BEFORE_AGE:]]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _own(catalogue: Catalogue, rows: Ints, slots: Ints, rates: Floats) -> Floats:
    """What of the features is the items' own, from rates [n, 1 + SLOTS, RATES] of them and their slots."""
    tagged = (slots[:, :TAG_SLOTS] > 0).sum(1, keepdims=True)
    tags = rates[:, 1 : 1 + TAG_SLOTS].sum(1) / np.maximum(tagged, 1)
    keys = rates[:, 1 + TAG_SLOTS :].reshape(len(rows), KEY_SLOTS * RATES)
    item = [rates[:, 0], keys, tags, catalogue.log_duration[rows, None], catalogue.known[rows, None]]
    return np.concatenate([*item, catalogue.numbers[rows]], axis=1, dtype=np.float32)


class Standing:
    """What counts and catalogue say of some items, whoever asks: worked out once for many queries."""

    def __init__(self, catalogue: Catalogue, counters: Counters, rows: Ints) -> None:
        """`rows`, in any order and with repetitions, are all that `of` may be asked for."""
        self._rows = np.unique(rows)
        slots = catalogue.attributes[self._rows]
        rates = counters.rates({"items": self._rows[:, None], "attributes": slots})
        self._own = _own(catalogue, self._rows, slots, rates)

    def of(self, rows: Ints) -> Floats:
        """Features of items, float32 [n, ITEM − RATES − 1]: those of the context and the age left out."""
        return self._own[np.searchsorted(self._rows, rows)]


def match_features(catalogue: Catalogue, touched: Ints, satisfaction: Floats, rows: Ints) -> Floats:
    """How the candidates agree with the session, float32 [n, MATCH].

    Whether the item itself was touched, how many touched items share a tag, their mean satisfaction,
    whether the last one shares one; how those of about its length pleased, and how many they are; and
    per attribute key how many share its value.
    """
    if not len(touched):
        return np.zeros((len(rows), MATCH), np.float32)
    slots, seen = catalogue.attributes[rows], catalogue.attributes[touched]
    shared = _shared_tags(slots[:, :TAG_SLOTS], seen[:, :TAG_SLOTS])
    same_key = _same_keys(slots[:, TAG_SLOTS:], seen[:, TAG_SLOTS:])
    known = satisfaction >= 0
    usual = satisfaction[known].sum() / max(known.sum(), 1)
    liking = np.where(known, satisfaction - usual, 0.0).astype(np.float32)
    apart = (catalogue.log_duration[rows][:, None] - catalogue.log_duration[touched]) / _LIKE_LENGTH
    alike = np.exp(-(apart**2) / 2) * known
    sharing = shared.sum(1)
    columns = [
        (rows[:, None] == touched).any(1) & (rows > 0),
        np.log1p(sharing),
        weighted(shared, liking) / (sharing + 1),
        shared[:, -1],
        weighted(alike, liking) / (alike.sum(1) + 1),
        np.log1p(alike.sum(1)),
    ]
    return np.concatenate([np.stack(columns, 1), np.log1p(same_key)], axis=1, dtype=np.float32)


def _shared_tags(tags: Ints, seen: Ints) -> NDArray[np.bool_]:
    """Whether a candidate [n, TAG_SLOTS] shares a tag with a touched item [l, TAG_SLOTS]: [n, l]."""
    if len(tags) <= _FEW:
        each, with_each = tags[:, None, :, None], seen[None, :, None, :]
        return np.asarray(((each == with_each) & (each > 0)).any((2, 3)))
    has = np.zeros((int(max(tags.max(initial=0), seen.max())) + 1, len(seen)), np.bool_)
    has[seen, np.arange(len(seen))[:, None]] = True
    has[0] = False
    return np.asarray(has[tags].any(1))


def _same_keys(keys: Ints, seen: Ints) -> NDArray[np.int64]:
    """How many of the touched items [l, KEY_SLOTS] share a candidate's value of each key: [n, KEY_SLOTS]."""
    if len(keys) <= _FEW:
        same: NDArray[np.int64] = ((keys[:, None] == seen[None]) & (keys[:, None] > 0)).sum(1)
        return same
    slots = np.arange(KEY_SLOTS)
    counts = np.zeros((int(max(keys.max(initial=0), seen.max())) + 1, KEY_SLOTS), np.int64)
    np.add.at(counts, (seen, np.broadcast_to(slots, seen.shape)), 1)
    counts[0] = 0
    found: NDArray[np.int64] = counts[keys, slots]
    return found
