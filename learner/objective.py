"""What examples cost a ranker: the same function for the base and for the stream."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from learner.batching import Batch, Example, collate
from learner.knowledge import Knowledge
from learner.losses import pointwise
from learner.ranker import Ranker


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Examples as tensors of one device: M pairs with positions [M], targets and weights [M, K]."""

    batch: Batch
    positions: Tensor
    targets: Tensor
    weights: Tensor


def prepare(examples: Sequence[Example], knowledge: Knowledge, device: torch.device | str) -> Lesson:
    """Collate examples, their pairs in order."""

    def stack(field: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(example, field) for example in examples])).to(device)

    batch = collate([example.encoded for example in examples], knowledge.catalogue, device)
    return Lesson(batch, stack("positions").long(), stack("targets"), stack("weights"))


def logits_of(ranker: Ranker, lesson: Lesson, weights: Mapping[str, Tensor] | None = None) -> Tensor:
    """Logits [M, K] of a lesson, position bias included; `weights` stand in for the ranker's own by name."""
    logits: Tensor = functional_call(ranker, dict(weights or {}), (lesson.batch,))
    return logits + ranker.position_bias(lesson.positions)


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
    lesson = prepare(examples, knowledge, device)
    lesson = replace(lesson, batch=disturb(lesson.batch))
    return pointwise(logits_of(ranker, lesson), lesson.targets, lesson.weights), float(lesson.weights.sum())


@torch.no_grad()
def slate_losses(logits: Tensor, lesson: Lesson, slates: int) -> tuple[Tensor, Tensor]:
    """Loss and weight of each of a lesson's first `slates`, summed over pairs and tasks: [slates] twice."""
    of, weights = lesson.batch.pair_slate, lesson.weights
    costs = functional.binary_cross_entropy_with_logits(logits, lesson.targets, weights, reduction="none")
    zero = logits.new_zeros(int(lesson.batch.lengths.numel()))
    return zero.index_add(0, of, costs.sum(1))[:slates], zero.index_add(0, of, weights.sum(1))[:slates]
