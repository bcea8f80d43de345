"""PURE: the rating head: how many stars a user would give an item, where a log has ratings.

r̂ = μ + wᵀ[x, u, v, u∘v, b_i, b_u] over the normalised fast features x, the user state u, the item vector v,
and what items and users are rated above the mean, each shrunk: ridge regression, solved at once (Hoerl and
Kennard, 1970; the baseline of Koren, KDD 2008). It is fitted over the trained base, leaves its weights alone,
and is not kept: it tells how much of ratings the base knows. What is recommended goes by the tasks that every
log has, of which a rating is one of the sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from learner.batching import Example, collate
from learner.catalogue import Catalogue
from learner.encoding import Encoded
from learner.ranker import Ranker
from learner.rows import RowIndex
from schemas.labels import LabeledSlate

RIDGE: Final = 1_000.0
"""Pseudo-ratings that hold each weight at 0."""

ITEM_STRENGTH: Final = 10.0
USER_STRENGTH: Final = 10.0
"""Pseudo-ratings at the mean of an item, and of a user."""

_BATCH = 256
_USUAL = 10.0  # a scale on which the ridge hardly holds the two inputs that say most

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.integer]


class Rated(NamedTuple):
    """What was known before a user rated items, and their stars [n]; NaN where they gave none."""

    encoded: Encoded
    stars: Floats


@dataclass(frozen=True, kw_only=True)
class RatingErrors:
    """Mean absolute error and root mean square error over `count` ratings, in stars."""

    mae: float
    rmse: float
    count: int


@dataclass(frozen=True, kw_only=True, eq=False)
class RatingHead:
    """Weights [D], the mean, least and most stars, and shrunken deviations by row of item and user."""

    weights: Floats
    scale: Floats
    items: Floats
    users: Floats

    def stars(self, ranker: Ranker, catalogue: Catalogue, encoded: Sequence[Encoded]) -> Floats:
        """The stars expected of every candidate of these queries, one after the other: [M]."""
        mean, least, most = self.scale
        parts = [self._of(ranker, catalogue, encoded[n : n + _BATCH]) for n in range(0, len(encoded), _BATCH)]
        stars: Floats = np.clip(mean + np.concatenate([np.zeros(0), *parts]), least, most)
        return stars

    def _of(self, ranker: Ranker, catalogue: Catalogue, encoded: Sequence[Encoded]) -> Floats:
        rows, owners = _pairs(encoded)
        usual = np.stack([_at(self.items, rows), _at(self.users, owners)], 1)
        above: Floats = _inputs(ranker, catalogue, encoded, usual) @ self.weights
        return above


def rated(slate: LabeledSlate, example: Example, items: RowIndex) -> Rated | None:
    """The ratings of a label and its example; None where it has none."""
    given = {o.item_id: o.feedback["rating"] for o in slate.outcomes if "rating" in o.feedback}
    if not given:
        return None
    stars = dict(zip(items.rows(list(given)).tolist(), given.values(), strict=True))
    shown = len(example.positions) - len(example.log_q)  # the others are no candidates but negatives
    encoded = replace(
        example.encoded, rows=example.encoded.rows[:shown], features=example.encoded.features[:shown]
    )
    return Rated(encoded, np.array([stars.get(row, np.nan) for row in encoded.rows.tolist()]))


def fit(ranker: Ranker, catalogue: Catalogue, examples: Sequence[Rated]) -> RatingHead:
    """Fit a head on ratings, of which there is at least one, over a ranker as it is."""
    rows, owners = _pairs([one.encoded for one in examples])
    stars = np.concatenate([one.stars for one in examples])
    given = ~np.isnan(stars)
    mean = float(stars[given].mean())
    above = np.where(given, stars - mean, 0.0)
    items, of_others = _shrunk(rows, above, given, ITEM_STRENGTH)
    users, on_others = _shrunk(owners, np.where(given, above - items[rows], 0.0), given, USER_STRENGTH)
    usual = np.stack([of_others, on_others], 1)
    gram, pull = _moments(ranker, catalogue, examples, usual, above)
    weights: Floats = np.linalg.solve(gram + RIDGE * np.eye(len(pull)), pull).astype(np.float64)
    scale = np.array([mean, np.nanmin(stars), np.nanmax(stars)])
    return RatingHead(weights=weights, scale=scale, items=items, users=users)


def _moments(
    ranker: Ranker, catalogue: Catalogue, examples: Sequence[Rated], usual: Floats, above: Floats
) -> tuple[Floats, Floats]:
    """XᵀX [D, D] and Xᵀy [D] over the pairs with stars; `usual` [M, 2] and `above` [M] are of all pairs."""
    gram, pull, done = np.zeros((1, 1)), np.zeros(1), 0
    for start in range(0, len(examples), _BATCH):
        part = examples[start : start + _BATCH]
        given = ~np.isnan(np.concatenate([one.stars for one in part]))
        of = slice(done, done + len(given))
        x = _inputs(ranker, catalogue, [one.encoded for one in part], usual[of])[given]
        gram, pull, done = gram + x.T @ x, pull + x.T @ above[of][given], of.stop
    return gram, pull


def errors(
    head: RatingHead, ranker: Ranker, catalogue: Catalogue, examples: Sequence[Rated]
) -> RatingErrors | None:
    """How far a head is from ratings; None without any."""
    if not examples:
        return None
    given = np.concatenate([one.stars for one in examples])
    known = ~np.isnan(given)
    off = (head.stars(ranker, catalogue, [one.encoded for one in examples]) - given)[known]
    return RatingErrors(
        mae=float(np.abs(off).mean()), rmse=float(np.sqrt((off**2).mean())), count=int(known.sum())
    )


@torch.no_grad()
def _inputs(ranker: Ranker, catalogue: Catalogue, encoded: Sequence[Encoded], usual: Floats) -> Floats:
    """What stars are told from, [M, D]; `usual` [M, 2] is what item and user get and give above the mean."""
    batch = collate(encoded, catalogue, ranker.heads.intercept.device)
    u, v = ranker.states(batch)
    u, v = u[batch.pair_slate], v[batch.pair_item]
    seen = torch.cat([ranker.heads.normal(batch.features), u, v, u * v], 1)
    return np.concatenate([seen.double().cpu().numpy(), _USUAL * usual], 1)


def _pairs(encoded: Sequence[Encoded]) -> tuple[Rows, Rows]:
    """The rows of item and user of every pair, [M] each."""
    rows = np.concatenate([one.rows for one in encoded])
    return rows, np.repeat([one.user for one in encoded], [len(one.rows) for one in encoded])


def _at(table: Floats, rows: Rows) -> Floats:
    """Rows of a table; 0 for those that came after it was made."""
    return np.where(rows < len(table), table[np.minimum(rows, len(table) - 1)], 0.0)


def _shrunk(rows: Rows, above: Floats, given: Bools, strength: float) -> tuple[Floats, Floats]:
    """Means of `above` by row, as if `strength` zeros had been seen of each; and for each the others' mean.

    To learn from a mean that holds what is to be told would be to learn it by heart.

    >>> means, of_others = _shrunk(np.array([1, 1, 2]), np.array([1.0, 3.0, -1.0]), np.full(3, True), 2.0)
    >>> means.round(2), of_others.round(2)
    (array([ 0.  ,  1.  , -0.33]), array([1.  , 0.33, 0.  ]))
    """
    sums, counts = np.bincount(rows, above), np.bincount(rows, given) + strength
    means: Floats = sums / counts
    means[0] = 0.0
    of_others: Floats = np.where(rows > 0, (sums[rows] - above) / (counts[rows] - given), 0.0)
    return means, of_others
