"""What examples cost a ranker: the same function for the base and for the stream."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from learner.batching import Batch, Example, collate
from learner.knowledge import Knowledge
from learner.losses import pointwise, sampled_softmax
from learner.query import TASKS
from learner.ranker import Ranker

CLICK = TASKS.index("click")


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Examples as tensors of one device: M pairs with positions [M], targets and weights [M, K]."""

    batch: Batch
    positions: Tensor
    targets: Tensor
    weights: Tensor
    choices: Tensor  # [R], the chosen pair of each choice from the catalogue
    log_q: (
        Tensor  # [R, most], of its negatives, which are the pairs behind it; infinite where there are fewer
    )


def prepare(examples: Sequence[Example], knowledge: Knowledge, device: torch.device | str) -> Lesson:
    """Collate examples, their pairs in order."""

    def stack(field: str) -> Tensor:
        return torch.from_numpy(np.concatenate([getattr(example, field) for example in examples])).to(device)

    batch = collate([example.encoded for example in examples], knowledge.catalogue, device)
    choices, log_q = _choices(examples)
    return Lesson(
        batch=batch,
        positions=stack("positions").long(),
        targets=stack("targets"),
        weights=stack("weights"),
        choices=choices.to(device),
        log_q=log_q.to(device),
    )


def _choices(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Where the choices from the catalogue begin, [R], and the negatives' `log_q`, padded, [R, most]."""
    starts = np.cumsum([0] + [len(example.positions) for example in examples])
    found = [number for number, example in enumerate(examples) if len(example.log_q)]
    most = max((len(examples[number].log_q) for number in found), default=0)
    log_q = np.full((len(found), most), np.inf, np.float32)
    for line, number in zip(log_q, found, strict=True):
        line[: len(examples[number].log_q)] = examples[number].log_q
    return torch.from_numpy(starts[found].astype(np.int64)), torch.from_numpy(log_q)


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
    weight = lesson.weights.sum()
    costs = pair_costs(logits_of(ranker, lesson), lesson)
    return costs.sum() / weight.clamp_min(torch.finfo(weight.dtype).tiny), float(weight)


def pair_costs(logits: Tensor, lesson: Lesson) -> Tensor:
    """The weighted loss of each pair, summed over tasks, [M].

    What was shown is learned pair by pair. A choice from the whole catalogue is learned against negatives:
    the click logits of a feedback surface rank, and are no log-odds of a rate. Its cost is the chosen pair's.
    """
    choices, weights = lesson.choices, lesson.weights
    if not len(choices):
        return pointwise(logits, lesson.targets, weights)
    worth = weights[choices, CLICK]
    apart = weights.clone()
    apart[choices, CLICK] = 0
    clicks, behind = logits[:, CLICK], torch.arange(1, 1 + lesson.log_q.shape[1], device=logits.device)
    negatives = clicks[choices[:, None] + behind * torch.isfinite(lesson.log_q)]
    chosen = worth * sampled_softmax(clicks[choices], negatives, lesson.log_q)
    return pointwise(logits, lesson.targets, apart).index_add(0, choices, chosen)


@torch.no_grad()
def slate_losses(logits: Tensor, lesson: Lesson, slates: int) -> tuple[Tensor, Tensor]:
    """Loss and weight of each of a lesson's first `slates`, summed over pairs and tasks: [slates] twice."""
    of, weights = lesson.batch.pair_slate, lesson.weights
    costs = pair_costs(logits, lesson)
    zero = logits.new_zeros(int(lesson.batch.lengths.numel()))
    return zero.index_add(0, of, costs)[:slates], zero.index_add(0, of, weights.sum(1))[:slates]
