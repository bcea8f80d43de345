"""How soon the learner is back after everybody changed their mind, against fixed-rank LoRA of one budget."""

from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from learner.online import OnlineLearner
from learner.update import UpdateSettings
from tests.bench.learner.probe import Probe
from tests.tastes import ITEMS, base, born, embed, slates, turned

BATCH = 32
_EVERY = 4
"""Steps between two looks."""

CLOSE = 0.98
"""Share of the old accuracy that counts as being back."""

ADALORA = UpdateSettings()
FIXED_RANK = replace(ADALORA, rank=ADALORA.mean_rank, exchange=0.0, alarm=0.0, closeness=0.0)
"""The same layers and steps and as many triplets, but neither allocation nor alarm."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """`examples` until back at `CLOSE` times the old accuracy; None: not within `most`."""

    level: float
    examples: int | None
    most: int


def recovery(settings: UpdateSettings, seed: int, before: int, most: int) -> Recovery:
    """Learn `before` slates of one regime, then up to `most` of the other; accuracy is on other slates."""
    online = OnlineLearner(base(), embed, settings, seed)
    online.put_items(ITEMS)
    for start in range(0, before, BATCH):
        online.learn(slates(BATCH, seed, born, first=100_000 + start))
    level = Probe(born).accuracy(online)
    probe = Probe(turned)
    for step in count(1):
        online.learn(slates(BATCH, seed, turned, first=500_000 + step * BATCH))
        if step % _EVERY == 0 and probe.accuracy(online) >= CLOSE * level:
            return Recovery(level=level, examples=step * BATCH, most=most)
        if step * BATCH >= most:
            return Recovery(level=level, examples=None, most=most)
    raise AssertionError


def figures(seeds: int = 3, before: int = 1_500, most: int = 24_000) -> dict[str, object]:
    """Examples until back, for each seed and arm, and the median ratio; the bar is 1/3.

    Fixed rank is not watched for longer than `most`: a ratio against it is then an upper bound.
    """
    ours = [recovery(ADALORA, seed, before, most) for seed in range(seeds)]
    fixed = [recovery(FIXED_RANK, seed, before, most) for seed in range(seeds)]
    ratios = [(a.examples or a.most) / (b.examples or b.most) for a, b in zip(ours, fixed, strict=True)]
    return {
        "adalora": [run.examples for run in ours],
        "fixed_rank": [run.examples for run in fixed],
        "accuracy_before": [run.level for run in ours],
        "watched": most,
        "ratio": float(np.median(ratios)),
        "bar": 1 / 3,
    }
