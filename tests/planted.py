"""Planted worlds for the estimators: each knows the truth that one of them has to find."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stream.examination import View


def looked_at(
    curve: list[float], n_slates: int, n_items: int = 300, eager: float = 3.0, seed: int = 0
) -> Iterator[list[View]]:
    """Slates whose positions are looked at by a known curve.

    The ranker knows how attractive items are and puts the better ones first, with noise: the larger
    `eager`, the less. So click rates by position fall faster than the curve does.
    """
    rng = np.random.default_rng(seed)
    attractive = rng.beta(1.2, 8, n_items)
    for _ in range(n_slates):
        shown = rng.choice(n_items, 3 * len(curve), replace=False)
        merit = eager * np.log(attractive[shown]) + rng.gumbel(size=len(shown))
        shown = shown[np.argsort(-merit)][: len(curve)]
        yield _views(rng, curve, shown, attractive[shown], [None] * len(curve))


def looked_at_by_groups(
    curve: list[float], n_slates: int, explore: float, seed: int = 0
) -> Iterator[list[View]]:
    """Slates for two groups of users who like different items, as the ranker knows; propensities are logged.

    With probability `explore` a slate is shuffled instead of sorted.
    """
    rng = np.random.default_rng(seed)
    size = len(curve)
    attractive = rng.permuted(np.tile(np.linspace(0.6, 0.05, size), (2, 1)), axis=1)
    for _ in range(n_slates):
        liked = attractive[rng.integers(2)]
        best = np.argsort(-liked)
        shuffled = rng.random() < explore
        shown = rng.permutation(size) if shuffled else best
        propensity = explore / size + (1 - explore) * (shown == best)
        yield _views(rng, curve, shown, liked[shown], propensity.tolist())


def _views(
    rng: np.random.Generator,
    curve: list[float],
    shown: NDArray[np.int64],
    attractive: NDArray[np.float64],
    propensities: list[float | None],
) -> list[View]:
    clicked = rng.random(len(curve)) < np.array(curve) * attractive
    shown_as = (f"item-{number}" for number in shown)
    return list(zip(range(len(curve)), shown_as, clicked.tolist(), propensities, strict=True))
