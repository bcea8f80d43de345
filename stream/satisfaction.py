"""PURE: how well an item pleased, from how long the user stayed with it.

A stay says little by itself: a minute is much for a joke and little for a film, and where items play by
themselves every item has a dwell, while elsewhere only an opened one has. So a stay is compared with the
other stays with items of about that length on that surface: satisfaction is its rank among them. That takes
out what the length explains (the duration-dependent quantiles of Zhan et al., "Deconfounding Duration Bias
in Watch-time Prediction", KDD 2022), and what the kind of surface explains as well.

River's quantiles are not used: `stats.Quantile` (P²) follows one quantile and cannot tell the rank of a
value, `sketch.Histogram` moves its bins with every value and has no snapshot but pickle. Fixed bins in
log-dwell are exact to an eighth of an octave, can be added up, and are plain numbers.
"""

from array import array
from itertools import pairwise
from math import log2
from typing import Any

ATTENTION_MS = 18_000.0
"""Longer stays count as wholly satisfied whatever the item's length: KuaiRand's `long_view` threshold."""

BOUNCE = 0.1
"""Satisfaction below which a click was a mistake. Where items play by themselves nearly no click is."""

PRIOR = 20.0
"""How many stays the parent's curve counts for: at so many of its own, a curve is half its own."""

MEMORY = 50_000
"""At so many stays in a curve all are halved: tastes drift, and the newest ones weigh more than half."""

SURFACES = 64
"""So many surfaces have curves of their own; those that come later share the curve of their bucket."""

CURVES = 512
"""From so many curves on no surface gets one for a bucket that it had none of."""

_BINS = 128
_BINS_PER_OCTAVE = 8
_FIRST_OCTAVE = 6  # 64 ms; the last bin ends at 2^22 ms, more than an hour
_SHORTEST_MS = 2.0**_FIRST_OCTAVE
_BUCKETS = 24  # half octaves of length from 1 s up; the last is whatever is longer than 48 min
_UNKNOWN, _ANY = _BUCKETS, -1
_ROW = _BINS + 1
_LAST_PLACE = _BINS - 1e-9


def satisfaction(dwell_ms: float, duration_ms: float | None) -> float:
    """Return the share of the expected attention that was given, in [0, 1], monotone in dwell.

    The expectation is the item's duration, at most 18 s; 18 s where the duration is unknown or zero.

    >>> satisfaction(9_000, 60_000), satisfaction(9_000, 6_000), satisfaction(9_000, None)
    (0.5, 1.0, 0.5)
    """
    expected = duration_ms if duration_ms and duration_ms < ATTENTION_MS else ATTENTION_MS
    return dwell_ms / expected if dwell_ms < expected else 1.0


def is_bounce(clicked: bool, share: float | None) -> bool:
    """Return whether a click was regretted: it has a dwell, and nearly all others stayed longer.

    >>> is_bounce(True, 0.05), is_bounce(True, None), is_bounce(False, 0.05)
    (True, False, False)
    """
    return clicked and share is not None and share < BOUNCE


class Satisfaction:
    """Ranks of dwells among those with items of similar length on the same surface.

    Three curves answer together, each shrunk to the one before: of all stays, of the bucket of length over
    all surfaces, of the bucket on this surface; before any, the rule `satisfaction`. Fold every dwell
    whose satisfaction is asked for: on a surface that plays by itself also those without a click.

    A curve is a histogram of log-dwell that adds and sums up in a few steps: a binary indexed tree (Fenwick
    1994), a row of `_trees` whose otherwise unused node 0 is the total. A table of sums would have to be made
    anew for every curve of every epoch, which on a thin stream is for every stay.

    >>> seen = Satisfaction()
    >>> for dwell_ms in range(1_000, 101_000, 100):
    ...     seen.fold(dwell_ms, 60_000, "feed")
    >>> round(seen.of(50_000, 60_000, "feed"), 2), seen.of(9_000, 60_000, "other") < 0.3
    (0.49, True)
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str | None], int] = {}
        self._surfaces: set[str] = set()
        self._trees = array("H")

    def of(self, dwell_ms: float, duration_ms: float | None, surface: str) -> float:
        """Return the satisfaction that a stay shows, in [0, 1], monotone in `dwell_ms`."""
        share, place = satisfaction(dwell_ms, duration_ms), _place(dwell_ms)
        bucket, rows, trees = _bucket(duration_ms), self._rows, self._trees
        for key in ((_ANY, None), (bucket, None), (bucket, surface)):
            row = rows.get(key)
            if row is None:
                break
            share = (_below(trees, row, place) + PRIOR * share) / (trees[row] + PRIOR)
        return share

    def fold(self, dwell_ms: float, duration_ms: float | None, surface: str) -> None:
        """Take one stay into account."""
        bucket, place = _bucket(duration_ms), int(_place(dwell_ms))
        self._add(place, self._row((_ANY, None)))
        self._add(place, self._row((bucket, None)))
        if (bucket, surface) in self._rows or self._has_room(surface):
            self._surfaces.add(surface)
            self._add(place, self._row((bucket, surface)))

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state; `trees` are the bytes of unsigned 16-bit numbers, shape [curves, 129].

        Bytes, because evidence is written and read back every epoch, and numbers would be parsed one by one.
        """
        return {"curves": [list(key) for key in self._rows], "trees": self._trees.tobytes()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._rows = {(bucket, surface): at * _ROW for at, (bucket, surface) in enumerate(state["curves"])}
        self._surfaces = {surface for _, surface in self._rows if surface is not None}
        self._trees = array("H", state["trees"])

    def _has_room(self, surface: str) -> bool:
        known = surface in self._surfaces or len(self._surfaces) < SURFACES
        return known and len(self._rows) < CURVES

    def _row(self, key: tuple[int, str | None]) -> int:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self._trees)
            self._trees.extend(_EMPTY)
        return row

    def _add(self, place: int, row: int) -> None:
        trees, node = self._trees, place + 1
        trees[row] += 1
        while node <= _BINS:
            trees[row + node] += 1
            node += node & -node
        if trees[row] >= MEMORY:
            trees[row : row + _ROW] = _halved(trees[row : row + _ROW])


_EMPTY = array("H", bytes(2 * _ROW))


def _below(trees: "array[int]", row: int, place: float) -> float:
    """How many stays of a curve were below a place, those of its own bin by the part of it that is below."""
    node = int(place)
    part, after = place - node, row + node + 1
    branch = (node + 1) & node  # the nodes down to here, and the place's own bin, are what node + 1 sums
    in_branch = 0
    while node != branch:
        in_branch += trees[row + node]
        node &= node - 1
    below = in_branch
    while node:
        below += trees[row + node]
        node &= node - 1
    return below + part * (trees[after] - in_branch)


def _halved(tree: "array[int]") -> "array[int]":
    sums = [int(_below(tree, 0, place)) for place in range(_BINS)] + [tree[0]]
    halved = array("H", [0, *((high - low) // 2 for low, high in pairwise(sums))])
    halved[0] = sum(halved)
    for node in range(1, _BINS):
        if node + (node & -node) <= _BINS:
            halved[node + (node & -node)] += halved[node]
    return halved


def _place(dwell_ms: float) -> float:
    """Where a dwell is among the bins; the fraction tells how far into its bin."""
    if dwell_ms <= _SHORTEST_MS:
        return 0.0
    return min(_LAST_PLACE, _BINS_PER_OCTAVE * (log2(dwell_ms) - _FIRST_OCTAVE))


def _bucket(duration_ms: float | None) -> int:
    if not duration_ms:
        return _UNKNOWN
    return 0 if duration_ms <= 1_000 else min(_BUCKETS - 1, int(2 * log2(duration_ms / 1_000)))
