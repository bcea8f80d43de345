"""PURE: an optimiser's moments as tensors by name, `<parameter>.<moment>`."""

from collections.abc import Mapping

import torch
from torch import Tensor


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Copies of all that an optimiser has summed up."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": t.clone() for index, moments in state.items() for name, t in moments.items()}


def load_moments(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take back what `moments_of` gave, in an optimiser of the same parameters."""
    described = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, moment = name.split(".", 1)
        state.setdefault(int(index), {})[moment] = tensor.clone()
    described["state"] = state
    optimiser.load_state_dict(described)
