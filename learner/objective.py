"""What examples cost a ranker: the same function for the base and for the stream."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from learner.batching import Batch, Example, collate
from learner.knowledge import Knowledge
from learner.losses import pointwise
from learner.ranker import Ranker


def example_loss(
    ranker: Ranker,
    knowledge: Knowledge,
    examples: Sequence[Example],
    device: torch.device | str,
    disturb: Callable[[Batch], Batch] = lambda batch: batch,
) -> tuple[Tensor, float]:
    """Mean loss per unit of weight over pairs and tasks, position bias included, and the total weight.

    `disturb` changes what the ranker is shown, against learning by heart.
    """

    def stack(field: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(example, field) for example in examples])).to(device)

    batch = collate([example.encoded for example in examples], knowledge.catalogue, device)
    logits = ranker(disturb(batch)) + ranker.position_bias(stack("positions").long())
    weights = stack("weights")
    return pointwise(logits, stack("targets"), weights), float(weights.sum())
