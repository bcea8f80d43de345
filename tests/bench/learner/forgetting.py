"""What the learner forgets of users who stay away while others come, against plain online fine-tuning.

Half of the users are active, then the other half with other tastes, then the first return as they were.
What the second half taught must not cost the first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from learner.intake import Intake
from learner.knowledge import Knowledge
from learner.ledger import Ledger
from learner.objective import example_loss
from learner.online import OnlineLearner
from learner.ranker import TABLES, Ranker
from learner.update_settings import UpdateSettings
from schemas.labels import LabeledSlate
from tests.bench.learner.probe import Probe
from tests.bench.report import Figure
from tests.tastes import BASE_TRAINING, ITEMS, USERS, Taste, base, born, slates, turned
from tests.tiny import embed

BATCH = 32
FIRST, SECOND = range(USERS // 2), range(USERS // 2, USERS)


class PlainFineTuning:
    """Every weight of the base goes on learning at the base's own steps; no replay, no memory of before."""

    def __init__(self) -> None:
        self.ranker: Ranker = base().ranker().requires_grad_(True)
        self.knowledge: Knowledge = base().knowledge(embed)
        self.knowledge.catalogue.put(ITEMS)
        known, settings = self.knowledge, BASE_TRAINING
        self._intake = Intake(known, Ledger(100_000), np.random.default_rng(0))
        rows = [self.ranker.get_parameter(f"{table}.weight") for table in TABLES]
        tables = {id(row) for row in rows}
        dense = [p for p in self.ranker.parameters() if id(p) not in tables]
        self._optimisers = (
            torch.optim.AdamW(dense, lr=settings.step * settings.calm, weight_decay=0.0),
            torch.optim.Adagrad(rows, lr=settings.row_step, initial_accumulator_value=0.1),
        )

    def learn(self, labels: Sequence[LabeledSlate]) -> None:
        """One step."""
        taken = self._intake.take(labels)
        self.ranker.zero_grad(set_to_none=True)
        loss, weight = example_loss(
            self.ranker, self.knowledge, [one for one in taken if one is not None], "cpu"
        )
        (weight * loss).backward()
        for optimiser in self._optimisers:
            optimiser.step()


class Memory(NamedTuple):
    """Expected loss on the first regime before and after the second, and on the second after it."""

    before: float
    after: float
    second: float

    @property
    def rise(self) -> float:
        """What was forgotten, in nats."""
        return self.after - self.before


def memory(make: Callable[[int], OnlineLearner | PlainFineTuning], seed: int, each: int) -> Memory:
    """Learn `each` slates of the first regime, then of the second."""
    arm = make(seed)
    first, second = Probe(born, FIRST), Probe(turned, SECOND)

    def learn(taste: Taste, users: range, start: int) -> None:
        for at in range(start, start + each, BATCH):
            arm.learn(slates(BATCH, seed, taste, users, first=at))

    learn(born, FIRST, 100_000)
    before = first.loss(arm.ranker, arm.knowledge)
    learn(turned, SECOND, 500_000)
    return Memory(before, first.loss(arm.ranker, arm.knowledge), second.loss(arm.ranker, arm.knowledge))


def adalora(seed: int, **changes: float) -> OnlineLearner:
    """The learner with its defaults."""
    online = OnlineLearner(base(), embed, replace(UpdateSettings(), **changes), seed)
    online.put_items(ITEMS)
    return online


def forgetting(short: bool) -> Iterator[Figure]:
    """The rise of the loss on the first regime, and its ratio to that of plain fine-tuning.

    Who does not learn the second regime forgets nothing: so the loss on that is shown, too.
    """
    seeds, each = (1, 128) if short else (3, 2_000)
    ours = [memory(adalora, seed, each) for seed in range(seeds)]
    plain = [memory(lambda _seed: PlainFineTuning(), seed, each) for seed in range(seeds)]
    for name, runs in {"": ours, ", plain fine-tuning": plain}.items():
        yield Figure(
            row="forgetting", what=f"rise of the loss{name}", unit="nats", runs=[run.rise for run in runs]
        )
        yield Figure(
            row="forgetting", what=f"loss on the new{name}", unit="nats", runs=[run.second for run in runs]
        )
    ratios = [one.rise / other.rise for one, other in zip(ours, plain, strict=True)]
    yield Figure(row="forgetting", what="ratio", unit="", runs=ratios, bar=1 / 2, at_most=True)
