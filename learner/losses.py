"""PURE: the losses that the learner minimises, as functions of logits."""

import torch
from torch import Tensor
from torch.nn import functional


def pointwise(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted binary cross entropy of n examples, summed over K tasks, [n].

    All [n, K]. A weight of zero masks a task without a label: its target may be any finite number.

    >>> pointwise(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])).item()
    0.6931471824645996
    """
    return functional.binary_cross_entropy_with_logits(logits, targets, weights, reduction="none").sum(1)


def sampled_softmax(scores_pos: Tensor, scores_neg: Tensor, log_q: Tensor) -> Tensor:
    """Return the cross entropy of each positive against m sampled negatives, [n].

    scores_pos [n]; scores_neg [n, m]; log_q, broadcastable to [n, m]: log of how often each negative was to
    be drawn, infinity where there is none. Negatives are weighted by 1/q, which makes their sum an unbiased
    estimate of the sum over all items: popular ones, drawn more often, are not punished.
    Source: Bengio and Senécal, IEEE Transactions on Neural Networks 2008.

    >>> sampled_softmax(torch.zeros(1), torch.zeros(1, 3), torch.zeros(3)).exp().item()
    4.0
    """
    everything = torch.cat([scores_pos[:, None], scores_neg - log_q], dim=-1)
    return everything.logsumexp(-1) - scores_pos


def proximal(logits: Tensor, published: Tensor) -> Tensor:
    """Return mean KL(p_published ‖ p) between Bernoulli predictions, both given as logits of one shape.

    No gradient flows into `published`. Source: the proximal term of PESO (ICLR 2026).

    >>> proximal(torch.zeros(2), torch.zeros(2)).item()
    0.0
    """
    published = published.detach()
    p = published.sigmoid()
    return (p * (published - logits) + functional.softplus(logits) - functional.softplus(published)).mean()
