"""Position bias: told apart by surface where that is asked for, learned in training, left out in serving."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import torch

from learner.backfill import train_base
from learner.base import Base, parse_base
from learner.fitting import BackfillSettings
from learner.objective import CLICK
from schemas.labels import LabeledSlate
from tests.tiny import ITEMS, SHAPE, base, embed, labels

TRAINING = BackfillSettings(epochs=4, batch=32, holdout=0, step=0.01)
SEEN = {"feed": (1.0, 0.3, 0.05), "grid": (0.05, 0.3, 1.0)}
"""Planted: how likely a place is looked at, from the first to the last; one surface is read from the end."""


def shown(n: int) -> list[LabeledSlate]:
    """Clicks of what is liked, where it is looked at."""
    rng = np.random.default_rng(3)
    return [
        _on(slate, "feed" if number % 2 else "grid", rng) for number, slate in enumerate(labels(n, seed=1))
    ]


def _on(slate: LabeledSlate, surface: str, rng: np.random.Generator) -> LabeledSlate:
    outcomes = [
        msgspec.structs.replace(one, clicked=bool(one.clicked and rng.random() < SEEN[surface][one.position]))
        for one in slate.outcomes
    ]
    return msgspec.structs.replace(slate, surface=surface, outcomes=outcomes)


def trained(by_surface: bool) -> Base:
    shape = replace(SHAPE, by_surface=by_surface)
    return train_base(ITEMS, shown(800), embed, "planted", shape, TRAINING).base


@torch.no_grad()
def fall(base: Base, surface: str) -> float:
    """By how much the first place is above the last one, in log-odds of a click."""
    context = base.ids["contexts"].index(f"surface={surface}") + 1
    bias = base.ranker().position_bias(torch.tensor([0, 2]), torch.tensor([context, context]))[:, CLICK]
    return float(bias[0] - bias[1])


def falls(base: Base) -> Sequence[float]:
    return [fall(parse_base(base.payload), surface) for surface in SEEN]


def test_each_surface_has_its_own_where_that_is_asked_for() -> None:
    feed, grid = falls(trained(by_surface=True))
    assert feed > 0.5
    assert grid < -0.5
    together = falls(trained(by_surface=False))
    assert together[0] == together[1]


def test_a_base_without_has_the_hash_that_it_had() -> None:
    assert b"by_surface" not in base().payload
    assert b"by_surface" in replace(base(), settings=replace(SHAPE, by_surface=True)).payload
