"""PURE: how well candidates suit a session, as features of a model that ranks a catalogue.

What users like together, text and tags in common with what they touched, age and popularity near theirs,
and how popular a candidate is just now: a new item has the text, tags and age to be found by.
"""

import numpy as np
from numpy.typing import NDArray

from learner.affinities import DAYS, LIKES, PLEASED, TOUCHED, Affinities, Near
from learner.catalogue import TAG_SLOTS, Catalogue
from learner.weighing import weighted

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

MATCHES = 20 + len(DAYS)
"""Width of these features."""

_SCALE = 20.0
_YEAR_MS = 365.25 * 86_400_000
_TEXTS = 20
"""So many items of the session are compared by text, and of them the last _LAST once more."""

_LAST = 5


def matches(
    catalogue: Catalogue, affinities: Affinities, near: Near, session: Ints, liked: Bools, rows: Ints, ts: int
) -> Floats:
    """All of them for candidates `rows` [n], float32 [n, MATCHES].

    `session` [l] are the rows of the session's items, oldest first; `liked` [l] which of them pleased.
    """
    newest = session[::-1]
    likes = newest[liked[::-1]]
    columns = [
        *_together(affinities, near, rows),
        *_texts(catalogue, newest[:_TEXTS], rows),
        *_texts(catalogue, likes[:_TEXTS], rows)[1:],
        _tags(catalogue, likes, 0.95, rows),
        _tags(catalogue, newest[:10], 1.0, rows),
        *_ages(catalogue, newest[:10], rows, ts),
        *_standing(affinities, newest[:10], rows, ts),
    ]
    return np.stack(columns, axis=1, dtype=np.float32)


def _together(affinities: Affinities, near: Near, rows: Ints) -> list[Floats]:
    """Co-occurrence over two powers of the candidate's own count: near, and near for so rare an item."""
    touched, likes = affinities.counts[rows, TOUCHED] + 1, affinities.counts[rows, LIKES] + 1
    parts = [near.liked[rows] / likes**0.25, near.liked[rows] / likes**0.6]
    parts += [near.touched[rows] / touched**0.25, near.touched[rows] / touched**0.6]
    return [np.log1p(_SCALE * part) for part in parts]


def _texts(catalogue: Catalogue, touched: Ints, rows: Ints) -> list[Floats]:
    """Cosine with touched items [l], newest first: most with the last, fading mean, most with any."""
    if not len(touched):
        return [np.zeros(len(rows), np.float32)] * 3
    cosines = catalogue.text[rows] @ catalogue.text[touched].T  # [n, l]; text vectors have unit length
    fading = 0.9 ** np.arange(len(touched), dtype=np.float32)
    return [cosines[:, :_LAST].max(1), weighted(cosines, fading / fading.sum()), cosines.max(1)]


def _tags(catalogue: Catalogue, touched: Ints, fading: float, rows: Ints) -> Floats:
    """How usual the candidate's tags are among touched items, newest first: mean share, over √tags."""
    if not len(touched):
        return np.zeros(len(rows), np.float32)
    slots = catalogue.attributes[touched, :TAG_SLOTS]
    weights = np.broadcast_to(fading ** np.arange(len(touched))[:, None], slots.shape)
    wanted = catalogue.attributes[rows, :TAG_SLOTS]
    profile = np.bincount(slots.ravel(), weights.ravel(), int(max(slots.max(), wanted.max(initial=0))) + 1)
    profile[0] = 0
    number = np.maximum((wanted > 0).sum(1), 1)
    share: Floats = (profile[wanted].sum(1) / weights[:, 0].sum() / np.sqrt(number)).astype(np.float32)
    return share


def _ages(catalogue: Catalogue, touched: Ints, rows: Ints, ts: int) -> list[Floats]:
    """Age, whether it is new, and how far in age from the touched: from their mean, and from the nearest."""
    created = catalogue.created_ts[rows]
    dated = created > 0
    age = np.where(dated, np.maximum(ts - created, 0) / _YEAR_MS, 0.0)
    known = catalogue.created_ts[touched]
    known = known[known > 0]
    if not len(known):
        apart = nearest = np.zeros(len(rows))
    else:
        apart = np.abs(created - known.mean()) / _YEAR_MS * dated
        nearest = np.abs(created[:, None] - known).min(1) / _YEAR_MS * dated
    columns = [np.log1p(age), dated & (age < 2), np.log1p(apart), np.log1p(nearest)]
    return [column.astype(np.float32) for column in columns]


def _standing(affinities: Affinities, touched: Ints, rows: Ints, ts: int) -> list[Floats]:
    """How often engaged with, ever and lately; how it pleased; whether as popular as the touched are."""
    counts = affinities.counts[rows]
    ever = np.log1p(counts[:, TOUCHED])
    usual = np.log1p(affinities.counts[touched, TOUCHED]).mean() if len(touched) else 0.0
    pleased = counts[:, PLEASED] / (counts[:, TOUCHED] + 3)
    rare = counts[:, TOUCHED] <= 5
    lately = np.log1p(affinities.popularity(rows, ts)).T
    apart = np.abs(ever - usual) if len(touched) else np.zeros(len(rows))
    columns = [ever, rare, 5 * pleased, ever * (usual - 2.5) * bool(len(touched)), apart, *lately]
    return [column.astype(np.float32) for column in columns]
