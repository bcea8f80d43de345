"""PURE: the mean of weights over the last steps, which is better than where the last step happened to end."""

from collections.abc import Sequence

import torch
from torch import Tensor


class RunningMean:
    """Mean of parameters over about the last `horizon` steps; a plain mean until there are that many.

    Source: Polyak and Juditsky, SIAM Journal on Control and Optimization 1992.

    >>> weight = torch.tensor([1.0])
    >>> mean = RunningMean([weight], horizon=10)
    >>> mean.fold()
    >>> _ = weight.fill_(3.0)
    >>> mean.fold()
    >>> mean.settle()
    >>> weight
    tensor([2.])
    """

    def __init__(self, parameters: Sequence[Tensor], horizon: int) -> None:
        self._parameters = [parameter.detach() for parameter in parameters]  # views: they follow the weights
        self._horizon = horizon
        self._means = [parameter.clone() for parameter in self._parameters]
        self._steps = 0

    @torch.no_grad()
    def fold(self) -> None:
        """Take in the weights after a step."""
        self._steps += 1
        share = 1 / min(self._steps, self._horizon)
        torch._foreach_lerp_(self._means, self._parameters, share)

    @torch.no_grad()
    def settle(self) -> None:
        """Give the weights their mean, and begin a new one."""
        if self._steps:
            torch._foreach_copy_(self._parameters, self._means)
        self._steps = 0
