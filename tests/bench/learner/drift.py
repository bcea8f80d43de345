"""How soon the learner is back after everybody changed their mind, against fixed-rank LoRA of one budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from learner.online import OnlineLearner
from learner.update_settings import UpdateSettings
from tests.bench.learner.probe import Probe
from tests.bench.report import Figure
from tests.tastes import ITEMS, base, born, slates, turned
from tests.tiny import embed

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


def drift(short: bool) -> Iterator[Figure]:
    """Examples until back, and their ratio to those of fixed rank.

    Fixed rank is not watched for longer than `most`: then the ratio is an upper bound.
    """
    seeds, before, most = (1, 320, 640) if short else (3, 1_000, 16_000)
    ours = [recovery(ADALORA, seed, before, most) for seed in range(seeds)]
    yield Figure(row="drift", what="examples until back", unit="slates", runs=_examples(ours))
    fixed = [recovery(FIXED_RANK, seed, before, most) for seed in range(seeds)]
    late = sum(run.examples is None for run in fixed)
    yield Figure(
        row="drift",
        what="the same, fixed rank",
        unit="slates",
        runs=_examples(fixed),
        note=f"{late} of {seeds} not back by {most}",
    )
    ratios = [one / other for one, other in zip(_examples(ours), _examples(fixed), strict=True)]
    yield Figure(row="drift", what="ratio", unit="", runs=ratios, bar=1 / 3, at_most=True)


def _examples(runs: Sequence[Recovery]) -> list[float]:
    return [float(run.examples or run.most) for run in runs]
