"""PURE: AdaLoRA's allocator on a stream: observe each step, reallocate now and then, hold the mask.

loss.backward()
allocator.observe()                    # importance of this step's gradients
optimizer.step()
allocator.mask()                       # what is published must be what is masked
allocator.advance(examples)
if it is time:                         # every ΔT updates
    clear_moments(optimizer, layers, allocator.allocate().changed)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from learner.adapter import LowRankLayer, LowRankLinear
from learner.budget import Budget, Choice, Standing
from learner.importance import Averages, Layout, gradient, sensitivity
from schemas.errors import SettingsError, SnapshotError


@dataclass(frozen=True, kw_only=True)
class Reallocation:
    """What an allocation changed: masks [r] by layer name."""

    live: dict[str, Tensor]
    pruned: dict[str, Tensor]
    regrown: dict[str, Tensor]

    @property
    def changed(self) -> dict[str, Tensor]:
        """The triplets whose optimiser moments tell of another life and must be cleared."""
        return {name: self.pruned[name] | self.regrown[name] for name in self.live}


class Allocator:
    """Keeps the importance of every triplet, the mask and the budget's clock.

    Layers are fixed at construction, all on one device. All triplets live at birth. `beta1` and `beta2`
    smooth sensitivity and uncertainty: the paper's .85 averages about 7 steps, too few where positives
    are sparse.
    """

    def __init__(
        self, layers: Mapping[str, LowRankLayer], budget: Budget, beta1: float = 0.99, beta2: float = 0.99
    ) -> None:
        if not layers:
            raise SettingsError("allocator: expected at least one adapted layer, got none")
        self._names = list(layers)
        self._layers = list(layers.values())
        self._lambdas: list[Tensor] = [layer.lam for layer in self._layers]
        self._ranks = [lam.numel() for lam in self._lambdas]
        self._budget = budget
        self._betas = (beta1, beta2)
        self._layout = Layout.of(self._layers)
        self._averages = Averages.zero(self._layout)
        self._live = torch.ones(self._layout.triplets, dtype=torch.bool, device=self._layout.share.device)
        self._pull = self._layout.share.new_zeros(self._layout.triplets)
        self._clock = torch.zeros(1, dtype=torch.int64)

    @property
    def places(self) -> int:
        """How many triplets the budget allows now."""
        return self._budget.places(int(self._clock))

    @property
    def clock(self) -> int:
        """The reading of the budget's clock."""
        return int(self._clock)

    @property
    def live(self) -> dict[str, Tensor]:
        """The mask of each layer: [r], true where the triplet lives."""
        return self._by_layer(self._live)

    @property
    def importance(self) -> dict[str, Tensor]:
        """S of each layer's triplets: [r]."""
        return self._by_layer(self._averages.importance(self._layout))

    def advance(self, ticks: int) -> None:
        """Move the budget's clock by as many examples, or updates, as the budget counts."""
        self._clock += ticks

    def reset(self) -> None:
        """Start the budget's descent again, as after a drift alarm: the next allocation regrows."""
        self._clock.zero_()

    @torch.no_grad()
    def observe(self) -> None:
        """Fold in the gradients of one step; call between backward and zero_grad.

        Signed gradients of λ are summed, so that the pull is that of the window and noise cancels.
        """
        self._averages.fold_(sensitivity(self._layers), *self._betas)
        self._pull += torch.cat([gradient(lam) for lam in self._lambdas])

    @torch.no_grad()
    def mask(self) -> None:
        """Zero every dead λ, which the optimiser has just moved; P and Q of the dead stay."""
        self._zero_all_but(self._live)

    @torch.no_grad()
    def allocate(self) -> Reallocation:
        """Choose who lives by the budget at this reading of the clock, and mask the others."""
        importance = self._averages.importance(self._layout)
        choice = self._budget.choose(
            Standing(importance=importance, live=self._live, pull=self._pull.abs()), int(self._clock)
        )
        pruned = self._live & ~choice.live
        self._apply(choice)
        return Reallocation(
            live=self.live, pruned=self._by_layer(pruned), regrown=self._by_layer(choice.regrown)
        )

    def snapshot(self) -> dict[str, Tensor]:
        """Return the state as tensors; weights and budget are the caller's to keep."""
        return {name: tensor.clone() for name, tensor in self._state().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take a snapshot's state.

        Raises:
            SnapshotError: it is another adapter's.
        """
        for name, tensor in self._state().items():
            if name not in state or state[name].shape != tensor.shape:
                actual = list(state[name].shape) if name in state else "nothing"
                raise SnapshotError(f"allocator {name}: expected shape {list(tensor.shape)}, got {actual}")
        for name, tensor in self._state().items():
            tensor.copy_(state[name])

    def _apply(self, choice: Choice) -> None:
        stayed = choice.live & ~choice.regrown
        self._live = choice.live
        self._zero_all_but(stayed)  # a regrown λ starts from zero, so that no output jumps
        self._averages.forget_(choice.regrown, self._layout)
        self._pull.zero_()
        _redraw(self._layers, self._split(stayed), self._split(choice.regrown))

    def _zero_all_but(self, triplets: Tensor) -> None:
        torch._foreach_mul_(self._lambdas, self._split(triplets))

    def _state(self) -> dict[str, Tensor]:
        return {
            "sensitivity": self._averages.sensitivity,
            "uncertainty": self._averages.uncertainty,
            "live": self._live,
            "pull": self._pull,
            "clock": self._clock,
        }

    def _split(self, values: Tensor) -> list[Tensor]:
        return list(torch.split(values, self._ranks))

    def _by_layer(self, values: Tensor) -> dict[str, Tensor]:
        return dict(zip(self._names, self._split(values.clone()), strict=True))


def clear_moments(
    optimizer: torch.optim.Optimizer,
    layers: Mapping[str, LowRankLayer],
    changed: Mapping[str, Tensor],
    birth: float = 0.0,
) -> None:
    """Set the optimiser's moments of the triplets of the masks `changed` ([r] by layer name) to `birth`.

    Any state tensor shaped like its parameter counts as a moment.
    """
    for name, triplets in changed.items():
        for parameter, axis in _parameters(layers[name]):
            for moment in optimizer.state.get(parameter, {}).values():
                if isinstance(moment, Tensor) and moment.shape == parameter.shape:
                    moment.index_fill_(axis, triplets.nonzero()[:, 0], birth)


def orthogonal_to(directions: Tensor, others: Tensor) -> Tensor:
    """Return unit `directions` [k, d] turned orthogonal to `others` [m, d] and to each other.

    What is left of the old direction is kept: its pull is what earned the place. Where nothing is left,
    Householder's QR gives some direction that is free. With more than d directions there is none: they are
    returned as they came.
    """
    if len(others) + len(directions) > directions.shape[1]:
        return directions
    basis, upper = torch.linalg.qr(torch.cat([others, directions]).mT)
    sign = torch.where(upper.diagonal() < 0, -1.0, 1.0)
    turned: Tensor = (basis * sign).mT
    return turned[len(others) :]


def _redraw(layers: list[LowRankLayer], stayed: list[Tensor], regrown: list[Tensor]) -> None:
    """Turn regrown P columns and Q rows orthogonal to those that lived on.

    The rows `a` of a table stay: they are what the pull of its λ was measured with.
    """
    for layer, old, new in zip(layers, stayed, regrown, strict=True):
        if not new.any():
            continue
        layer.Q[new] = orthogonal_to(layer.Q[new], layer.Q[old])
        if isinstance(layer, LowRankLinear):
            layer.P[:, new] = orthogonal_to(layer.P.mT[new], layer.P.mT[old]).mT


def _parameters(layer: LowRankLayer) -> tuple[tuple[Tensor, int], ...]:
    """The layer's parameters, each with the axis along which its triplets run."""
    rows = layer.P if isinstance(layer, LowRankLinear) else layer.a
    return (rows, 1), (layer.lam, 0), (layer.Q, 0)
