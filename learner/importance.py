"""PURE: how much the loss leans on each triplet: sensitivity, smoothing, importance.

All weights of all adapted layers are laid end to end in one vector, so that a step costs a fixed
handful of tensor operations however many layers there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learner.adapter import LowRankEmbedding, LowRankLayer, LowRankLinear


@dataclass(frozen=True)
class Layout:
    """Where each weight of the laid-out vector belongs: two vectors [weights].

    triplet: its triplet, counted through all layers. share: its part of the triplet's importance, so
    that a weighted sum by triplet is s(λ) + mean s(P) + mean s(Q).
    """

    triplet: Tensor
    share: Tensor
    triplets: int

    @staticmethod
    def of(layers: Sequence[LowRankLayer]) -> "Layout":
        """Lay out `layers` in the order in which `sensitivity` reads them."""
        ranks = [layer.lam.numel() for layer in layers]
        all_ids = torch.arange(sum(ranks), device=layers[0].lam.device)
        own = list(zip(layers, torch.split(all_ids, ranks), strict=True))
        blocks = [(ids, block) for layer, ids in own for block in _blocks(layer, ids)]
        # A table's rows enter as one average per direction, behind everything else.
        blocks += [(ids, ids) for layer, ids in own if isinstance(layer, LowRankEmbedding)]
        dtype = layers[0].lam.dtype
        share = [torch.full_like(block, len(ids) / len(block), dtype=dtype) for ids, block in blocks]
        return Layout(torch.cat([block for _, block in blocks]), torch.cat(share), sum(ranks))


def sensitivity(layers: Sequence[LowRankLayer]) -> Tensor:
    """Return I = |w·∂L/∂w| of each weight, laid out: [weights]. Call between backward and zero_grad.

    A parameter without gradient (a head that no label of this batch asked for) has sensitivity zero,
    just as one whose labels all weigh nothing. Of a table, each direction has the mean over the rows
    touched in this step. Source: AdaLoRA, eq. 8.
    """
    with torch.no_grad():
        dense = [parameter for layer in layers for parameter in _dense(layer)]
        products = torch._foreach_mul(dense, [gradient(parameter) for parameter in dense])
        rows = [_row_sensitivity(layer.a) for layer in layers if isinstance(layer, LowRankEmbedding)]
        return torch.cat([*(product.flatten() for product in products), *rows]).abs_()


def gradient(parameter: Tensor) -> Tensor:
    """Return the gradient, zero where the last loss did not reach the parameter."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Ī, the smoothed sensitivity, and Ū, its smoothed uncertainty: [weights] each."""

    sensitivity: Tensor
    uncertainty: Tensor

    @staticmethod
    def zero(layout: Layout) -> "Averages":
        """Return the averages before the first step."""
        return Averages(
            sensitivity=torch.zeros_like(layout.share), uncertainty=torch.zeros_like(layout.share)
        )

    def fold_(self, seen: Tensor, beta1: float, beta2: float) -> None:
        """Fold one step's sensitivity in, in place: Ī ← β₁Ī + (1−β₁)I; Ū ← β₂Ū + (1−β₂)|I − Ī|.

        Source: AdaLoRA, eq. 9 and 10.
        """
        self.sensitivity.mul_(beta1).add_(seen, alpha=1 - beta1)
        self.uncertainty.mul_(beta2).add_((seen - self.sensitivity).abs_(), alpha=1 - beta2)

    def importance(self, layout: Layout) -> Tensor:
        """Return S = s(λ) + mean s(P) + mean s(Q) with s = Ī·Ū, one number a triplet: [triplets].

        Source: AdaLoRA, eq. 7 and 11.
        """
        scores = self.sensitivity * self.uncertainty * layout.share
        return scores.new_zeros(layout.triplets).index_add_(0, layout.triplet, scores)

    def forget_(self, triplets: Tensor, layout: Layout) -> None:
        """Zero the averages of the triplets of a mask [triplets], in place."""
        known = ~triplets[layout.triplet]
        self.sensitivity.mul_(known)
        self.uncertainty.mul_(known)


def _dense(layer: LowRankLayer) -> tuple[Tensor, ...]:
    return (layer.P, layer.lam, layer.Q) if isinstance(layer, LowRankLinear) else (layer.lam, layer.Q)


def _blocks(layer: LowRankLayer, ids: Tensor) -> list[Tensor]:
    """The triplet of each weight of `_dense(layer)`, parameter by parameter, flattened."""
    across = [ids.repeat(layer.P.shape[0])] if isinstance(layer, LowRankLinear) else []
    return [*across, ids, ids.repeat_interleave(layer.Q.shape[1])]


def _row_sensitivity(a: Tensor) -> Tensor:
    """Mean over touched rows of |a·∂L/∂a|: [r]."""
    if a.grad is None:
        return a.new_zeros(a.shape[1])
    touched = a.grad.coalesce()
    products = a[touched.indices()[0]] * touched.values()
    return products.abs_().sum(0) / max(len(products), 1)
