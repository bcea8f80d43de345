"""PURE: the first stage of ranking a catalogue: which candidates are worth the whole model.

The candidate sources are co-occurrence, text, and popularity; the union of what each puts first. The same
list is where training finds its hard negatives: what would have been shown in the place of the positive.
"""

import numpy as np
from numpy.typing import NDArray

from learner.affinities import LIKES, TOUCHED, Affinities, Near
from learner.catalogue import Catalogue

MOST = 480
"""A query of more candidates than this is answered in two stages."""

_LIKED, _TOUCHED, _RARE, _TEXT, _POPULAR, _NEW = 120, 120, 60, 80, 60, 40

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def shortlist(
    catalogue: Catalogue, affinities: Affinities, near: Near, session: Ints, rows: Ints, ts: int
) -> NDArray[np.intp]:
    """Indices, ascending, of at most MOST of the candidates `rows` [n]."""
    # Of the two powers of a candidate's count, the lesser favours the popular, the greater the rare.
    touched, likes = affinities.counts[rows, TOUCHED] + 1, affinities.counts[rows, LIKES] + 1
    liked, by_any = near.liked[rows] / likes**0.25, near.touched[rows]
    lately = affinities.popularity(rows, ts)
    chosen = [
        _first(liked, _LIKED),
        _first(by_any / touched**0.25, _TOUCHED),
        _first(by_any / touched**0.6, _RARE),
        _first(_alike(catalogue, session, rows), _TEXT),
        _first(lately[:, -1], _POPULAR),
        _first(catalogue.created_ts[rows] * (lately[:, -1] > 0), _NEW),
    ]
    return np.unique(np.concatenate(chosen))


def _alike(catalogue: Catalogue, session: Ints, rows: Ints) -> Floats:
    """Cosine, up to a factor, with the fading mean of the session's last texts."""
    newest = session[::-1][:10]
    fading = (0.8 ** np.arange(len(newest))).astype(np.float32)
    mean: Floats = fading @ catalogue.text[newest]
    alike: Floats = catalogue.text[: rows.max(initial=0) + 1] @ mean
    return alike[rows]


def _first(scores: NDArray[np.floating], most: int) -> NDArray[np.intp]:
    """Indices of the `most` highest scores above zero."""
    best = np.argpartition(-scores, most)[:most] if len(scores) > most else np.arange(len(scores))
    return best[scores[best] > 0]
