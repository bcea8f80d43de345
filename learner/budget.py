"""PURE: how many triplets may live, and which: the paper's finite budget and one without an end.

A budget is a strategy of two questions. `places` says how many triplets may live at a reading of the
clock; `choose` says which. Both are pure; the clock is kept by `learner.allocation.Allocator`.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from schemas.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an allocation knows of all triplets of all layers, in one order: three vectors [n].

    importance: the paper's S. live: whether the triplet lives now. pull: |Σ ∂L/∂λ| since the last
    allocation.
    """

    importance: Tensor
    live: Tensor
    pull: Tensor


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The outcome of an allocation, two masks [n]: who lives, and who of them starts anew."""

    live: Tensor
    regrown: Tensor


class Budget(Protocol):
    """A strategy of allocation."""

    def places(self, clock: int) -> int:
        """Return how many triplets may live."""

    def choose(self, standing: Standing, clock: int) -> Choice:
        """Return which triplets live from now on."""


@dataclass(frozen=True, kw_only=True)
class FiniteBudget:
    """The paper's budget for a run whose length is known; the clock counts updates.

    `initial` places until t_init, a cubic descent, `target` places from total − t_final on. All triplets
    compete by importance, pruned ones too. Source: AdaLoRA, section 3.3 (numerator as in the authors'
    code; the printed eq. 14 has another).
    """

    initial: int
    target: int
    t_init: int
    t_final: int
    total: int

    def __post_init__(self) -> None:
        _check_places(self.initial, self.target)
        if self.t_init >= self.total - self.t_final:
            end = self.total - self.t_final
            raise SettingsError(
                f"finite budget: expected t_init < total - t_final = {end}, got {self.t_init}"
            )

    def places(self, clock: int) -> int:
        """Return the places at update `clock`."""
        done = (clock - self.t_init) / (self.total - self.t_final - self.t_init)
        return _cubic(self.initial, self.target, done)

    def choose(self, standing: Standing, clock: int) -> Choice:
        """Keep the globally most important; what comes back does so as it was left."""
        live = top(standing.importance, self.places(clock))
        return Choice(live=live, regrown=torch.zeros_like(live))


@dataclass(frozen=True, kw_only=True)
class HorizonFreeBudget:
    """A budget for a stream; the clock counts labelled examples since the last reset.

    A cubic descent from `initial` to `target` places over `descent_examples`, then a steady state in
    which each allocation gives the places of the `exchange` share least important to dead triplets.
    """

    initial: int
    target: int
    descent_examples: int
    exchange: float

    def __post_init__(self) -> None:
        _check_places(self.initial, self.target)
        if self.descent_examples < 1:
            raise SettingsError(f"descent_examples: expected 1 or more, got {self.descent_examples}")
        if not 0 <= self.exchange <= 1:
            raise SettingsError(f"exchange: expected a share from 0 to 1, got {self.exchange}")

    def places(self, clock: int) -> int:
        """Return the places after `clock` examples."""
        return _cubic(self.initial, self.target, clock / self.descent_examples)

    def excess(self, clock: int) -> float:
        """Return how much of the descent is left after `clock` examples: 1 to 0, cubic as the places are."""
        return float(max(0.0, 1 - clock / self.descent_examples) ** 3)

    def choose(self, standing: Standing, clock: int) -> Choice:
        """Prune by importance; fill free places, and in steady state exchanged ones, by pull."""
        places = self.places(clock)
        exchanged = int(self.exchange * places) if clock >= self.descent_examples else 0
        return prune_and_regrow(standing, places, exchanged)


def prune_and_regrow(standing: Standing, places: int, exchanged: int) -> Choice:
    """Keep the most important of the live, and give what is free, at least `exchanged`, to the dead.

    A dead triplet has λ = 0, so its importance can only decay; what speaks for it is its pull
    |∂L/∂λ| = |(PᵀGQᵀ)ᵢᵢ| (as RigL regrows connections by gradient, Evci et al., ICML 2020). One without
    any pull has nothing to gain: its place stays empty or with its owner.
    """
    n_live = int(standing.live.sum())
    candidates = ~standing.live & (standing.pull > 0)
    n_grown = min(int(candidates.sum()), places, max(places - n_live, exchanged))
    kept = top(standing.importance.masked_fill(~standing.live, -torch.inf), min(n_live, places - n_grown))
    regrown = top(standing.pull.masked_fill(~candidates, -torch.inf), n_grown)
    return Choice(live=kept | regrown, regrown=regrown)


def top(scores: Tensor, count: int) -> Tensor:
    """Return a mask of the `count` highest scores; of equal ones the first, so that runs repeat.

    >>> top(torch.tensor([1.0, 3.0, 2.0, 3.0]), 2)
    tensor([False,  True, False,  True])
    """
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[torch.argsort(scores, descending=True, stable=True)[:count]] = True
    return mask


def _cubic(initial: int, target: int, done: float) -> int:
    left = 1 - min(max(done, 0.0), 1.0)
    return int(target + (initial - target) * left**3)


def _check_places(initial: int, target: int) -> None:
    if not 0 <= target <= initial:
        raise SettingsError(
            f"budget: expected 0 <= target <= initial, got target {target}, initial {initial}"
        )
