"""PURE: how often items, attributes and contexts were shown, clicked and satisfying."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learner.rows import Vocabulary

WIDTH = 4
SHOWN, CLICKED, SATISFIED, EXPECTED = range(WIDTH)
"""EXPECTED adds up the click rates of the contexts of the exposures: what the average item would have got."""

RATES = 4
"""Numbers that `rates` gives for a row."""

Counts = NDArray[np.floating]

_STRENGTH = 20.0
_LIFT_STRENGTH = 3.0
"""Pseudo-exposures, and pseudo-clicks, that hold a rate at the average: a strong prior and a weak one."""


class Places(NamedTuple):
    """Where the counts of n shown items stand, [n, 2 + k]: their context's, their own, those of k attributes.

    `known` says which there are: row 0 stands for the unknown and is not counted.
    """

    numbers: NDArray[np.int64]
    known: NDArray[np.bool_]


class Counters:
    """Counts per row, float64 [capacity, WIDTH] for items, attributes and contexts; totals [WIDTH].

    Single precision would stop at 2²⁴ exposures, which a surface has in hours, and round shares of one long
    before. Checkpoints, which nobody adds to, hold them in less.

    An example must be scored with the counts before it is counted: ask `at` first, `add` after.
    """

    NAMES = ("items", "attributes", "contexts")

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        capacities = [vocabulary.index(name).capacity for name in self.NAMES]
        # One behind the other, so that a shown item is read, and counted, in one go.
        self._all = np.zeros((sum(capacities), WIDTH), np.float64)
        ends = np.cumsum(capacities).tolist()
        self._starts = dict(zip(self.NAMES, [0, *ends], strict=False))
        self.tables = {
            name: self._all[self._starts[name] : end] for name, end in zip(self.NAMES, ends, strict=True)
        }
        # A weak prior, so that the first rates are defined: ten exposures, three clicks, two satisfying.
        self.totals = np.array([10.0, 3.0, 2.0, 3.0], np.float64)

    def load(self, counts: Mapping[str, Counts]) -> None:
        """Set each named table, and `totals`, to what `snapshot` gave; rows beyond it have no counts."""
        for name, values in counts.items():
            target = self.totals if name == "totals" else self.tables[name]
            target[: len(values)] = values
            target[len(values) :] = 0

    def load_rows(self, counts: Mapping[str, Counts], rows: Mapping[str, NDArray[np.integer]]) -> None:
        """Set every table to counts of rows numbered otherwise, whose own ones `rows` tells."""
        for name, table in self.tables.items():
            table[:] = 0
            table[rows[name][: len(counts[name])]] = counts[name]
            table[0] = 0
        self.totals[:] = counts["totals"]

    def snapshot(self) -> dict[str, Counts]:
        """The rows in use of every table, and the totals."""
        used: dict[str, Counts] = {
            name: table[: len(self._vocabulary.index(name))].copy() for name, table in self.tables.items()
        }
        return used | {"totals": self.totals.copy()}

    def copy(self) -> "Counters":
        """The same counts, to be changed apart from these."""
        other = Counters(self._vocabulary)
        other.load(self.snapshot())
        return other

    def places(
        self, contexts: int | NDArray[np.integer], items: NDArray[np.integer], attributes: NDArray[np.integer]
    ) -> Places:
        """Where the counts of items [n] with attributes [n, k] stand, shown in one context or in n."""
        rows = np.empty((len(items), 2 + attributes.shape[1]), np.int64)
        rows[:, 0], rows[:, 1], rows[:, 2:] = contexts, items, attributes
        known = rows > 0
        rows[:, 0] += self._starts["contexts"]
        rows[:, 1] += self._starts["items"]
        rows[:, 2:] += self._starts["attributes"]
        return Places(rows, known)

    def at(self, places: Places) -> NDArray[np.float32]:
        """The counts of this moment, float32 [n, 2 + k, WIDTH]."""
        return self._all[places.numbers].astype(np.float32)

    def add(self, places: Places, counts: Counts) -> None:
        """Add counts, [n, WIDTH] for all that an item counts for or [n, 2 + k, WIDTH] for each."""
        each = counts if counts.ndim == 3 else counts[:, None]
        spread = np.broadcast_to(each, (*places.numbers.shape, WIDTH))
        np.add.at(self._all, places.numbers[places.known], spread[places.known])

    def click_rate(self, context: int, without: Counts | None = None) -> float:
        """The smoothed click rate of a context, as it would be without some of its exposures [n, WIDTH]."""
        less = 0.0 if without is None else without.sum(0)
        # A context without a row counts nothing; after a rollback one may count less than these.
        own = np.maximum(self.tables["contexts"][context] - less, 0).tolist()
        totals = (self.totals - less).tolist()
        prior = totals[CLICKED] / totals[SHOWN]
        rate: float = (own[CLICKED] + _STRENGTH * prior) / (own[SHOWN] + _STRENGTH)
        return rate


def rates(
    counts: NDArray[np.float32], known: NDArray[np.bool_], totals: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Features of counts [n, k, WIDTH], those that are `known` [n, k]: float32 [n, k, RATES].

    log(1 + shown), click and satisfied log-odds above average, and the log of the clicks over those
    expected of the contexts. The average is that of `totals`, [WIDTH] or [n, WIDTH]. Rates are smoothed
    towards it, so that a row never seen gives zeros; so does what is not known.
    """
    priors = (totals[..., [CLICKED, SATISFIED]] / totals[..., [SHOWN]])[..., None, :]
    # What is taken out may have been counted under other attributes: then less is left than nothing.
    counted = np.maximum(counts[..., :EXPECTED], 0)
    shown = counted[..., :1]
    smooth = (counted[..., [CLICKED, SATISFIED]] + _STRENGTH * priors) / (shown + _STRENGTH)
    # A click may be counted before the exposures around it: the rate is kept inside (0, 1).
    log_odds = logit(np.clip(smooth, 1e-3, 1 - 1e-3)) - logit(priors)
    # It is taken out at the rate of now, too, which may be far above the one that it was counted at.
    clicked, expected = counted[..., CLICKED, None], counts[..., EXPECTED, None]
    lift = np.log((clicked + _LIFT_STRENGTH) / np.maximum(expected + _LIFT_STRENGTH, 1))
    features = np.concatenate([np.log1p(shown), log_odds, lift], axis=-1)
    return np.where(known[..., None], features, 0.0).astype(np.float32)


def logit(p: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log-odds of probabilities strictly between 0 and 1.

    >>> float(logit(np.array(0.5)))
    0.0
    """
    odds: NDArray[np.floating] = np.log(p / (1 - p))
    return odds
