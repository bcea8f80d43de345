"""PURE: the fast features: counts of a moment as numbers, of many queries and candidates at a time.

They are fresh even where the weights are not. In a trial on KuaiRand they were worth more than any
change of architecture (design 04).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from learner.agreement import MATCH
from learner.catalogue import KEY_SLOTS, NUMBER_SLOTS, TAG_SLOTS, Catalogue
from learner.counters import CLICKED, RATES, SATISFIED, SHOWN, Counters, rates
from learner.recent import Recent

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Numbers = NDArray[np.float64]

USER = 14
ITEM = RATES * (3 + KEY_SLOTS) + 3 + NUMBER_SLOTS
FEATURES = USER + 2 + ITEM + MATCH
"""Width F of the fast features."""

_STRENGTH = 3.0
"""Pseudo-observations that hold a user's rates at the average."""

_BEFORE_AGE = RATES * (2 + KEY_SLOTS) + 1
"""Of the columns that are an item's own, those before its age."""

_LATELY_S = 43_200.0
_FADING = np.array([[0.8], [0.95]]) ** np.arange(63, -1, -1)  # [2, 64]: what came last counts most

_COUNTED = ("impressions", "clicks", "dwells", "satisfied", "likes", "negatives")


def user_features(counted: Sequence[Mapping[str, float]], recent: Recent, totals: Numbers) -> Floats:
    """What is known of B users, float32 [B, USER]: how much they saw, how it went, in all and lately.

    `counted` are their sessions' counters; `totals` [B, WIDTH], of everybody's counts at each one's moment.
    """
    own = np.array([[of.get(name, 0.0) for name in _COUNTED] for of in counted], np.float64)
    shown, clicks, dwells, satisfied, likes, negatives = own.reshape(-1, len(_COUNTED)).T
    # Touches may be known without their impressions, as from a history that was logged elsewhere.
    seen = np.maximum(shown, dwells)
    click, satisfying = totals[:, CLICKED] / totals[:, SHOWN], totals[:, SATISFIED] / totals[:, SHOWN]
    columns = [
        np.log1p(shown),
        _log_odds(clicks, shown, click),
        np.log1p(dwells),
        _log_odds(satisfied, dwells, satisfying),
        _log_odds(dwells, seen, 0.5),
        _log_odds(likes, seen, 0.02),
        _log_odds(negatives, seen, 0.01),
        *_recently(recent, satisfying),
    ]
    return np.stack(columns, 1, dtype=np.float32)


def _recently(recent: Recent, average: Numbers) -> list[Numbers]:
    """The sessions themselves, 7 numbers: length, satisfaction fading at two speeds, lately, last, age."""
    most = _FADING.shape[1]
    satisfaction, ages = recent.satisfaction[:, -most:], recent.ages_s[:, -most:]
    length = satisfaction.shape[1]
    known = satisfaction >= 0
    over = np.where(known, satisfaction - average[:, None], 0.0)
    fading = _FADING[:, -length:]
    quick, slow = (over @ fading.T / (known @ fading.T + 1)).T
    lengths = np.minimum(recent.lengths, most)
    there = np.arange(length) >= length - lengths[:, None]
    lately = np.logical_or.accumulate(there & (ages < _LATELY_S), axis=1)
    return [
        np.log1p(lengths),
        quick,
        slow,
        np.log1p(lately.sum(1)),
        (over * lately).sum(1) / ((known & lately).sum(1) + 1),
        over[:, -1],
        np.log1p(ages[:, -1]) / 5,
    ]


def _log_odds(count: Numbers, shown: Numbers, prior: Numbers | float) -> Numbers:
    """Smoothed log-odds of users' rates above the average; 0 for a user never seen."""
    rate = np.clip((count + _STRENGTH * prior) / (shown + _STRENGTH), 1e-3, 1 - 1e-3)
    odds: Numbers = np.log(rate / (1 - rate)) - np.log(prior / (1 - prior))
    return odds


def clock(ts: NDArray[np.int64]) -> Floats:
    """The hour of the day of times [B] as a point on a circle, float32 [B, 2]."""
    angle = 2 * np.pi * (ts % 86_400_000) / 86_400_000
    return np.stack([np.sin(angle), np.cos(angle)], 1, dtype=np.float32)


def item_features(
    catalogue: Catalogue, rows: Ints, ts: NDArray[np.int64], here: Floats, own: Floats
) -> Floats:
    """Rates of the context, the items and their attributes; duration, age, numbers; float32 [M, ITEM].

    `here` [M, RATES] are the contexts' rates, `own` what `own_features` says of the items; `ts` [M] when.
    """
    created = catalogue.created_ts[rows]
    age = np.where(created > 0, np.log1p(np.maximum(ts - created, 0) / 86_400_000), 0.0)
    parts = [here, own[:, :_BEFORE_AGE], age[:, None], own[:, _BEFORE_AGE:]]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def own_features(catalogue: Catalogue, rows: Ints, slots: Ints, rated: Floats) -> Floats:
    """What of the features is the items' own, whoever asks: float32 [M, ITEM − RATES − 1].

    Of rates [M, 1 + SLOTS, RATES] of them and their attributes. Tags are averaged, since they have no order;
    every attribute key has columns of its own.
    """
    tagged = (slots[:, :TAG_SLOTS] > 0).sum(1, keepdims=True)
    tags = rated[:, 1 : 1 + TAG_SLOTS].sum(1) / np.maximum(tagged, 1)
    keys = rated[:, 1 + TAG_SLOTS :].reshape(len(rows), KEY_SLOTS * RATES)
    item = [rated[:, 0], keys, tags, catalogue.log_duration[rows, None], catalogue.known[rows, None]]
    return np.concatenate([*item, catalogue.numbers[rows]], axis=1, dtype=np.float32)


class Standing:
    """What counts and catalogue say of some items now, whoever asks: worked out once for many queries."""

    def __init__(self, catalogue: Catalogue, counters: Counters, rows: Ints) -> None:
        """`rows`, in any order and with repetitions, are all that `of` may be asked for."""
        self._rows = np.unique(rows)
        slots = catalogue.attributes[self._rows]
        places = counters.places(0, self._rows, slots)
        rated = rates(counters.at(places), places.known, counters.totals)
        self._own = own_features(catalogue, self._rows, slots, rated[:, 1:])

    def of(self, rows: Ints) -> Floats:
        """What `own_features` says of items, float32 [n, ITEM − RATES − 1]."""
        return self._own[np.searchsorted(self._rows, rows)]
