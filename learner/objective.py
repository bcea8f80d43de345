"""What examples cost a ranker: the same function for the base and for the stream."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

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
    batch = lesson.batch
    return logits + ranker.position_bias(lesson.positions, batch.contexts[batch.pair_slate])


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
    if not len(lesson.choices):
        return pointwise(logits, lesson.targets, lesson.weights)
    apart = lesson.weights.clone()
    apart[lesson.choices, CLICK] = 0
    others = pointwise(logits, lesson.targets, apart)
    return others.index_add(0, lesson.choices, _choice_costs(logits, lesson))


def _choice_costs(logits: Tensor, lesson: Lesson) -> Tensor:
    """The weighted loss of each choice from the catalogue, [R]."""
    choices, log_q, clicks = lesson.choices, lesson.log_q, logits[:, CLICK]
    behind = torch.arange(1, 1 + log_q.shape[1], device=logits.device)
    negatives = clicks[choices[:, None] + behind * torch.isfinite(log_q)]
    return lesson.weights[choices, CLICK] * sampled_softmax(clicks[choices], negatives, log_q)


class SlateLosses(NamedTuple):
    """Of each slate, summed over its pairs and tasks, [slates]: the loss, in nats, and its weight.

    `levelled` is the loss with a choice from n counted as one from two: whoever knows nothing of it loses
    log n, which is beyond all that a click can cost, and grows with the catalogue.
    """

    losses: Tensor
    weights: Tensor
    levelled: Tensor


@torch.no_grad()
def slate_losses(logits: Tensor, lesson: Lesson, slates: int) -> SlateLosses:
    """The losses of a lesson's first `slates`."""
    of = lesson.batch.pair_slate
    zero = logits.new_zeros(int(lesson.batch.lengths.numel()))
    losses = levelled = zero.index_add(0, of, pair_costs(logits, lesson))
    if len(lesson.choices):
        knowing_nothing = torch.exp(-lesson.log_q).sum(1).log1p()
        spared = (math.log(2) / knowing_nothing - 1) * _choice_costs(logits, lesson)
        levelled = losses.index_add(0, of[lesson.choices], spared)
    weights = zero.index_add(0, of, lesson.weights.sum(1))
    return SlateLosses(losses[:slates], weights[:slates], levelled[:slates])
