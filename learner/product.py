"""PURE: y = x (W⁰ + P diag(a) Q)ᵀ as one product, with a gradient that stays low-rank.

The merged matrix costs out·r·in once a step, whatever the batch; as three products the update would cost two
thin passes over every token, forwards, and as plain autograd of the merged matrix a full [out, in] gradient,
of which only its projections on P and Q are wanted.
"""

from typing import Any

import torch
from torch import Tensor


def low_rank_product(x: Tensor, weight: Tensor, P: Tensor, a: Tensor, Q: Tensor) -> Tensor:
    """Map x [..., in] to [..., out] by the frozen weight [out, in], P [out, r], a [r] and Q [r, in].

    Differentiable in x, P, a and Q; the weight is taken as frozen.

    >>> x, weight = torch.ones(1, 2), torch.eye(2)
    >>> low_rank_product(x, weight, torch.ones(2, 1), torch.tensor([0.5]), torch.ones(1, 2))
    tensor([[2., 2.]])
    """
    y: Tensor = _LowRankProduct.apply(x, weight, P, a, Q)  # type: ignore[no-untyped-call]
    return y


class _LowRankProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, P: Tensor, a: Tensor, Q: Tensor) -> Tensor:
        # Merged in full precision: what a step changes is smaller than half precision can tell.
        dtype = _product_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            merged = torch.addmm(weight, P * a, Q)
        x, merged = x.to(dtype), merged.to(dtype)
        ctx.save_for_backward(x, merged, P, a, Q)
        return torch.nn.functional.linear(x, merged)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, merged, P, a, Q = ctx.saved_tensors
        g = gradients[0].flatten(0, -2)  # [n, out], of n vectors
        x = x.flatten(0, -2)
        # [n, r]: what each direction takes in, and what it is asked for
        inwards, outwards = x @ Q.mT.to(x.dtype), g @ P.to(x.dtype)
        grad_x = (g @ merged).view(*gradients[0].shape[:-1], -1) if ctx.needs_input_grad[0] else None
        grad_P = (inwards.mT @ g).mT.to(P.dtype) * a
        grad_a = (inwards * outwards).sum(0, dtype=a.dtype)
        grad_Q = a[:, None] * (outwards.mT @ x).to(Q.dtype)
        return grad_x, None, grad_P, grad_a, grad_Q


def _product_dtype(x: Tensor) -> torch.dtype:
    """What autocast asks for; else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
