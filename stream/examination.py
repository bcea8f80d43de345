"""PURE: how likely an item at a position is looked at, learned from the same items at other positions.

The position-based model: a click at position k on item i happens with probability θ_k·α_i, examination times
attractiveness. Whoever ranks puts attractive items first, so click rates by position mix the two; what tells
them apart is that items move between positions (intervention harvesting: Agarwal et al., "Estimating
Position Bias without Intrusive Interventions", WSDM 2019).

With n_ik views of an item at a position and c_ik clicks, the curve solves Σ_k c_ik = α_i·Σ_k n_ik·θ_k for
every item and Σ_i c_ik = θ_k·Σ_i n_ik·α_i for every position, by turns: the Poisson likelihood with a factor
an item, for which, unlike the latent variables of EM, a few views an item are no source of bias (Hausman,
Hall, Griliches, Econometrica 1984), and ranks may follow from past clicks. The overall scale is not
identified (double all α, halve all θ): the first position counts as 1.

Where the ranker knows more than past clicks (the user), an item's audience differs by position. A logged
propensity takes that out as far as the policy explores: the view counts 1/propensity times (Joachims et al.,
WSDM 2017), and places that were drawn at random outweigh those that were chosen.
"""

from array import array
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

View: TypeAlias = tuple[int, str, bool, float | None]
"""What became of a shown item: (position, item id, clicked, logged propensity of that item there)."""

Curve: TypeAlias = NDArray[np.float64]
"""A number by position, shape [POSITIONS]."""

POSITIONS = 24
"""Positions from here on share the examination of the last one before."""

SURFACES = 16
"""So many surfaces have a curve of their own; those that come later keep the prior one."""

ITEMS, LEAST = 512, 8
"""So many items are remembered, and that many of every surface; the one not shown for longest then only
counts in the sums of its surface."""

PRIOR = 50.0
"""A position's examination is half its own at so many clicks that its items would get if examined."""

MEMORY = 500_000
"""At so many views a surface forgets half of what it knew: layouts change."""

MAX_WEIGHT = 50.0
"""A propensity below 1/50 counts as that: one lucky click must not bend the curve."""

PRIOR_CURVE: Curve = 1 / np.sqrt(1.0 + np.arange(POSITIONS, dtype=np.float64))
"""Examination before a surface was seen; gentle, so that a negative is not lost before it is understood."""

_GROWTH = 1.1  # of a surface's views, from one fit of its curve to the next
_SWEEPS = 5  # a fit begins where the last one ended, and gains a digit in four
_FIRST_FIT = 50
_FALL = np.append(1.0, PRIOR_CURVE[1:] / PRIOR_CURVE[:-1])


class Examination:
    """Examination curves by surface, learned from slates whose clicks are all known.

    >>> rng, learned = np.random.default_rng(0), Examination()
    >>> for _ in range(4_000):  # in any order, each click as likely again as at the next position
    ...     clicks = rng.random(3) < [0.6, 0.3, 0.15]
    ...     shown = enumerate(rng.permutation(["a", "b", "c"]))
    ...     learned.fold("home", [(k, item, clicks[k], None) for k, item in shown])
    >>> [round(learned.probability("home", k), 1) for k in range(3)], learned.probability("new", 3)
    ([1.0, 0.5, 0.2], 0.5)
    """

    def __init__(self) -> None:
        self._surfaces: dict[str, _Surface] = {}

    def probability(self, surface: str, position: int) -> float:
        """Return how likely an item at a position is examined, in (0, 1], 1 at the first."""
        known = self._surfaces.get(surface)
        curve = _PRIOR if known is None else known.curve
        return curve[position] if position < POSITIONS else curve[-1]

    def fold(self, surface: str, views: Iterable[View]) -> None:
        """Take one slate into account; a slate of one item has nothing to tell."""
        shown = list(views)
        known = self._surfaces.get(surface)
        if len(shown) < 2 or (known is None and len(self._surfaces) >= SURFACES):
            return
        if known is None:
            known = self._surfaces[surface] = _Surface()
        room = ITEMS - sum(map(len, self._surfaces.values()))
        known.fold(shown, max(LEAST, len(known) + room))

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state, by surface."""
        return {surface: known.snapshot() for surface, known in self._surfaces.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._surfaces = {}
        for surface, of_surface in state.items():
            self._surfaces[surface] = _Surface()
            self._surfaces[surface].restore(of_surface)


class _Surface:
    """Views and clicks by item and position, sums over items that were let go, and the curve they give."""

    def __init__(self) -> None:
        self.curve = list(_PRIOR)
        self._rows: dict[str, int] = {}  # the item shown last is the last
        self._views = array("f")  # [rows, POSITIONS]
        self._clicks = array("f")
        self._gone = np.zeros((2, POSITIONS))  # Σ clicks; Σ views·attractiveness
        self._total = 0
        self._next_fit = _FIRST_FIT

    def __len__(self) -> int:
        return len(self._rows)

    def fold(self, shown: list[View], items: int) -> None:
        """Count the views and clicks of one slate, and remember at most so many items."""
        for position, item_id, clicked, propensity in shown:
            column = position if position < POSITIONS else POSITIONS - 1
            cell = self._row(item_id, items) * POSITIONS + column
            weight = 1.0 if propensity is None else min(MAX_WEIGHT, 1 / propensity)
            self._views[cell] += weight
            if clicked:
                self._clicks[cell] += weight
        self._total += len(shown)
        if self._total >= self._next_fit:
            self._fit()

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state; bytes are of float32 [items, POSITIONS] and float64 [2, POSITIONS]."""
        return {
            "items": list(self._rows.items()),
            "views": self._views.tobytes(),
            "clicks": self._clicks.tobytes(),
            "gone": self._gone.tobytes(),
            "curve": list(self.curve),
            "total": self._total,
            "next_fit": self._next_fit,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._rows = dict(state["items"])
        self._views, self._clicks = array("f", state["views"]), array("f", state["clicks"])
        self._gone = np.frombuffer(state["gone"]).reshape(2, POSITIONS).copy()
        self.curve, self._total, self._next_fit = state["curve"], state["total"], state["next_fit"]

    def _row(self, item_id: str, items: int) -> int:
        row = self._rows.pop(item_id, None)
        if row is None:
            if len(self._rows) < items:
                row = len(self._rows)
                self._views.extend(_EMPTY)
                self._clicks.extend(_EMPTY)
            else:
                row = self._rows.pop(next(iter(self._rows)))
                self._let_go(row)
        self._rows[item_id] = row
        return row

    def _let_go(self, row: int) -> None:
        """Keep what an item taught, at the attractiveness it has now, and make its row empty."""
        cells = slice(row * POSITIONS, (row + 1) * POSITIONS)
        views, clicks = self._views[cells], self._clicks[cells]
        if views.count(0.0) < POSITIONS - 1 and any(
            clicks
        ):  # seen at one position, or never clicked: nothing
            self._gone += _taught(_table(views), _table(clicks), np.array(self.curve))
        self._views[cells] = self._clicks[cells] = _EMPTY

    def _fit(self) -> None:
        """Solve for the curve by turns, from the last one on."""
        views, clicks = _table(self._views), _table(self._clicks)
        curve = np.array(self.curve)
        for _ in range(_SWEEPS):
            curve = _shrunk(*(self._gone + _taught(views, clicks, curve)))
        self.curve = curve.tolist()
        if self._total >= MEMORY:
            self._gone = (self._gone + _taught(views, clicks, curve)) / 2
            self._views, self._clicks, self._rows = array("f"), array("f"), {}
            self._total //= 2
        self._next_fit = int(_GROWTH * self._total) + 1


_PRIOR: list[float] = PRIOR_CURVE.tolist()
_EMPTY = array("f", bytes(4 * POSITIONS))


def _table(counts: "array[float]") -> NDArray[np.float64]:
    return np.frombuffer(counts, np.float32).reshape(-1, POSITIONS).astype(float)


def _taught(views: NDArray[np.float64], clicks: NDArray[np.float64], curve: Curve) -> NDArray[np.float64]:
    """By position, the clicks and those expected under full examination, of items seen at two or more.

    An item at one position says what the curve says already, and would only slow its solution down.

    Args:
        views: n_ik, shape [items, POSITIONS].
        clicks: c_ik, the same shape.
        curve: θ_k, which gives the items' attractiveness.
    """
    moved = np.count_nonzero(views, axis=1) > 1
    views, clicks = views[moved], clicks[moved]
    attractiveness = clicks.sum(axis=1) / (views @ curve)
    return np.stack([clicks.sum(axis=0), attractiveness @ views])


def _shrunk(clicks: Curve, expected: Curve) -> Curve:
    """Return clicks / expected, each position shrunk to what the one above implies, the first position 1."""
    curve = np.empty(POSITIONS)
    above = 1.0
    for position in range(POSITIONS):
        above = curve[position] = (clicks[position] + PRIOR * above * _FALL[position]) / (
            expected[position] + PRIOR
        )
    shares: Curve = np.minimum(1.0, curve / curve[0])
    return shares
