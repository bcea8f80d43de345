"""The session encoder without a transformer: fading means of the items that a user touched."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from learner.batching import Batch
from learner.encoding import ACTIONS, AGE_BUCKETS, SATISFACTION_BUCKETS

FADING = (0.7, 0.9, 0.98, 0.98)
"""By how much a touched item counts less than the one after it, for each of the means."""


class FadingSession(nn.Module):
    """u = LN(start + query + Σ_k W_k m_k); m_k is a mean of the session's items that fades by `FADING[k]`.

    How an item counts in a mean is learned from its action, its satisfaction and its age: one that was
    skipped may count against. A step costs a small part of a transformer's, since tokens pass no layer; and
    no gradient passes to the items of the session, so that an update touches the rows of the candidates
    alone. Where sessions are long and their order says much, a transformer may be worth its cost.

    Source: exponential moving averages as memory of a sequence, as in Mega (Ma et al., ICLR 2023), without
    its attention.
    """

    moves_items: ClassVar[bool] = False
    """Whether an update may move the vectors of the session's items."""

    fading: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        means = len(FADING)
        self.actions = nn.Embedding(len(ACTIONS), means)
        self.satisfactions = nn.Embedding(SATISFACTION_BUCKETS, means)
        self.ages = nn.Embedding(AGE_BUCKETS, means)
        self.start = nn.Parameter(torch.zeros(width))
        self.mix = nn.Linear(means * width, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)
        self.register_buffer("fading", torch.tensor(FADING), persistent=False)
        nn.init.normal_(self.start, std=0.02)
        for table in (self.actions, self.ages):
            nn.init.zeros_(table.weight)
        with torch.no_grad():  # the better it pleased, the more; the last mean holds what did not please
            self.satisfactions.weight.copy_(
                torch.linspace(0, 1, SATISFACTION_BUCKETS)[:, None].expand(-1, means)
            )
            self.satisfactions.weight[:, -1] = 1 - self.satisfactions.weight[:, -1]

    def forward(self, tokens: Tensor, batch: Batch, query: Tensor) -> Tensor:
        """Item vectors of the session [B, l, d] and a query vector [B, d] (zero for none) → [B, d]."""
        gates = self.actions(batch.actions) + self.satisfactions(batch.satisfactions) + self.ages(batch.ages)
        behind = batch.lengths[:, None] - 1 - torch.arange(tokens.shape[1], device=tokens.device)  # [B, l]
        there = (behind >= 0).unsqueeze(-1)
        fading = torch.where(there, self.fading ** behind.clamp(min=0).unsqueeze(-1), 0.0)  # [B, l, means]
        shares = gates * fading / (fading.sum(1, keepdim=True) + 1)
        means = torch.bmm(shares.mT, tokens.detach()).flatten(1)
        u: Tensor = self.norm(self.start + query + self.mix(self.dropout(means)))
        return u
