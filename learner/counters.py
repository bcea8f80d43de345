"""PURE: how often items, attributes and contexts were shown, clicked and satisfying."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from learner.rows import Vocabulary

WIDTH = 3
SHOWN, CLICKED, SATISFIED = range(WIDTH)

Counts = NDArray[np.floating]


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
        self.totals = np.array([10.0, 3.0, 2.0], np.float64)

    def load(self, counts: Mapping[str, Counts]) -> None:
        """Set the first rows of each named table, and `totals`, from what `snapshot` gave."""
        for name, values in counts.items():
            target = self.totals if name == "totals" else self.tables[name]
            target[: len(values)] = values

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

    def rates(self, name: str, rows: NDArray[np.int32], strength: float = 20.0) -> NDArray[np.float32]:
        """Features [..., 3] of rows [...]: log(1 + shown), click and satisfied log-odds above average.

        Rates are smoothed towards the average with `strength` pseudo-exposures, so an unseen row gives zeros.
        """
        counts = self.tables[name][rows]
        priors = self.totals[1:] / self.totals[0]
        shown = counts[..., :1]
        rates = (counts[..., 1:] + strength * priors) / (shown + strength)
        # A click may be counted before the exposures around it: the rate is kept inside (0, 1).
        log_odds = logit(np.clip(rates, 1e-3, 1 - 1e-3)) - logit(priors)
        log_odds = np.where(rows[..., None] > 0, log_odds, 0.0)
        return np.concatenate([np.log1p(shown), log_odds], axis=-1).astype(np.float32)


def logit(p: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log-odds of probabilities strictly between 0 and 1.

    >>> float(logit(np.array(0.5)))
    0.0
    """
    odds: NDArray[np.floating] = np.log(p / (1 - p))
    return odds
