"""PURE: how much of what an adapter adds to its base goes with the triplets that are pruned.

An adapter that still looks for its directions prunes triplets that carry something. Once only empty ones
change places, what it has learned is settled: it can be folded into the base, and all ranks be free again.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from learner.adapter import LowRankLayer, LowRankLinear

_FADING = 0.9


@torch.no_grad()
def energies(layers: Mapping[str, LowRankLayer]) -> dict[str, Tensor]:
    """Return the squared Frobenius norm of each triplet's update, [r] by layer name.

    s²·λᵢ²·‖Pᵢ‖²·‖Qᵢ‖², with the column aᵢ of a table for Pᵢ.
    """
    return {name: _energy(layer) for name, layer in layers.items()}


def pruned_share(energy: Mapping[str, Tensor], pruned: Mapping[str, Tensor]) -> float:
    """Return the share of the energy that the masks `pruned` take; NaN where there is none at all.

    >>> pruned_share({"w": torch.tensor([3.0, 1.0])}, {"w": torch.tensor([False, True])})
    0.25
    """
    lost = sum(float(energy[name][mask].sum()) for name, mask in pruned.items())
    total = sum(float(values.sum()) for values in energy.values())
    return lost / total if total else float("nan")


def faded(mean: float, share: float) -> float:
    """Return the mean over about the last ten allocations; NaN stands for none yet.

    >>> round(faded(0.5, 0.1), 3), faded(float("nan"), 0.1), faded(0.5, float("nan"))
    (0.46, 0.1, 0.5)
    """
    if mean != mean or share != share:
        return share if mean != mean else mean
    return _FADING * mean + (1 - _FADING) * share


def _energy(layer: LowRankLayer) -> Tensor:
    rows, scale = (layer.P, layer.scale) if isinstance(layer, LowRankLinear) else (layer.a, 1.0)
    return (scale * layer.lam).square() * rows.square().sum(0) * layer.Q.square().sum(1)
