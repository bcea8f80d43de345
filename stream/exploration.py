"""PURE: slate policies that know exactly how likely each of their choices was.

A propensity is the marginal probability that the policy puts this item at this position, given the scores.
A new policy is one frozen dataclass here and one line in `POLICIES`; a contract test picks it up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Choice = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Indices into the scores, best position first, and the propensity of each at its position."""


class Policy(Protocol):
    """Chooses and orders a slate."""

    @property
    def name(self) -> str:
        """What is logged as the policy of a slate; says its parameters."""
        ...

    def select(self, scores: NDArray[np.floating], k: int, rng: np.random.Generator) -> Choice:
        """Choose min(k, len(scores)) of the items with these scores."""
        ...


@dataclass(frozen=True, slots=True)
class Greedy:
    """The best first, always."""

    @property
    def name(self) -> str:
        """What is logged."""
        return "greedy"

    def select(self, scores: NDArray[np.floating], k: int, rng: np.random.Generator) -> Choice:  # noqa: ARG002
        """Choose the top k; every propensity is 1."""
        chosen = top(scores, k)
        return chosen, np.ones(len(chosen))


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """The top k, where each position is given with probability epsilon to an item from below them.

    With t items below and k positions, a position is offered a random one of them with probability
    min(1, t/k), no item twice. So an item of the top k keeps its place with probability
    1 - epsilon·min(1, t/k), and each of those below stands at a given position with epsilon/max(t, k).
    """

    epsilon: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < 1:
            raise ValueError(f"EpsilonGreedy: epsilon is {self.epsilon}, expected 0 <= epsilon < 1")

    @property
    def name(self) -> str:
        """What is logged."""
        return f"epsilon-greedy:{self.epsilon:g}"

    def select(self, scores: NDArray[np.floating], k: int, rng: np.random.Generator) -> Choice:
        """Choose the top k and let some positions explore."""
        chosen = top(scores, k)
        k, below = len(chosen), len(scores) - len(chosen)
        if not below:
            return chosen, np.ones(k)
        explores = rng.random(k) < self.epsilon
        offered = rng.permutation(k)[:below]  # the positions that are offered an item from below
        taking = offered[explores[offered]]
        propensities = np.full(k, 1 - self.epsilon * min(1.0, below / k))
        if len(taking):
            others = np.delete(np.arange(len(scores)), chosen)
            chosen[taking] = rng.choice(others, len(taking), replace=False)
            propensities[taking] = self.epsilon / max(below, k)
        return chosen, propensities


POLICIES: dict[str, Callable[[], Policy]] = {"greedy": Greedy, "epsilon-greedy": EpsilonGreedy}
"""Name in the settings → policy with its defaults."""


def top(scores: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Return the indices of the k highest scores, highest first, ties by index.

    >>> top(np.array([0.1, 0.9, 0.5]), 2)
    array([1, 2])
    """
    best = np.arange(len(scores))
    if k < len(scores):
        best = np.sort(np.argpartition(-scores, k)[:k])
    return best[np.argsort(-scores[best], kind="stable")]
