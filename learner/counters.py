"""PURE: how often items, attributes and contexts were shown, clicked and satisfying."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from learner.rows import Vocabulary

WIDTH = 4
SHOWN, CLICKED, SATISFIED, EXPECTED = range(WIDTH)
"""EXPECTED adds up the click rates of the contexts of the exposures: what the average item would have got."""

RATES = 4
"""Numbers that `Counters.rates` gives for a row."""

Counts = NDArray[np.floating]

_STRENGTH = 20.0
_LIFT_STRENGTH = 3.0
"""Pseudo-exposures, and pseudo-clicks, that hold a rate at the average: a strong prior and a weak one."""


class Counters:
    """Counts per row, float32 [capacity, WIDTH] for items, attributes and contexts; totals [WIDTH].

    An example must be scored with the counts before it is counted: call `rates` first, `add` after.
    """

    NAMES = ("items", "attributes", "contexts")

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.tables = {
            name: np.zeros((vocabulary.index(name).capacity, WIDTH), np.float32) for name in self.NAMES
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
        used = {
            name: table[: len(self._vocabulary.index(name))].copy() for name, table in self.tables.items()
        }
        return used | {"totals": self.totals.copy()}

    def copy(self) -> "Counters":
        """The same counts, to be changed apart from these."""
        other = Counters(self._vocabulary)
        other.load(self.snapshot())
        return other

    def add(self, name: str, rows: NDArray[np.int32], counts: Counts) -> None:
        """Add counts [n, WIDTH] to rows [n]; row 0 stands for the unknown and is not counted."""
        known = rows > 0
        np.add.at(self.tables[name], rows[known], counts[known])

    def click_rate(self, context: int, without: Counts) -> float:
        """The smoothed click rate of a context, as it would be without some of its exposures [n, WIDTH]."""
        less = without.sum(0)
        counts, totals = self.tables["contexts"][context] - less, self.totals - less
        prior = totals[CLICKED] / totals[SHOWN]
        return float((counts[CLICKED] + _STRENGTH * prior) / (counts[SHOWN] + _STRENGTH))

    def rates(self, rows: Mapping[str, NDArray[np.integer]]) -> NDArray[np.float32]:
        """Features of rows [n, k] of each named table, side by side: float32 [n, Σk, RATES].

        log(1 + shown), click and satisfied log-odds above average, and the log of the clicks over those
        expected of the contexts. Rates are smoothed towards the average, so that a row never seen gives
        zeros; so does row 0.
        """
        counts = np.concatenate([self.tables[name][numbers] for name, numbers in rows.items()], axis=1)
        known = np.concatenate(list(rows.values()), axis=1)[..., None] > 0
        priors = self.totals[[CLICKED, SATISFIED]] / self.totals[SHOWN]
        shown = counts[..., :1]
        rates = (counts[..., [CLICKED, SATISFIED]] + _STRENGTH * priors) / (shown + _STRENGTH)
        # A click may be counted before the exposures around it: the rate is kept inside (0, 1).
        log_odds = logit(np.clip(rates, 1e-3, 1 - 1e-3)) - logit(priors)
        clicked, expected = counts[..., CLICKED, None], counts[..., EXPECTED, None]
        lift = np.log((clicked + _LIFT_STRENGTH) / (expected + _LIFT_STRENGTH))
        features = np.concatenate([np.log1p(shown), log_odds, lift], axis=-1)
        return np.where(known, features, 0.0).astype(np.float32)


def logit(p: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log-odds of probabilities strictly between 0 and 1.

    >>> float(logit(np.array(0.5)))
    0.0
    """
    odds: NDArray[np.floating] = np.log(p / (1 - p))
    return odds
