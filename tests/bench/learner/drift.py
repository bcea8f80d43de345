"""How soon the learner is back after everybody changed their mind, against fixed-rank LoRA of one budget.

Ours has two things that fixed-rank LoRA has not: ranks that move, and an alarm that frees the steps. Each is
also measured alone, so that what the ratio is owed to can be read.
"""

from collections.abc import Iterator
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
FIXED_RANK = replace(ADALORA, rank=ADALORA.mean_rank, exchange=0.0, alarm=0.0)
"""The same layers and steps and as many triplets, but neither allocation nor alarm."""

ARMS = {
    "": ADALORA,
    ", fixed rank": FIXED_RANK,
    ", fixed rank with our alarm": replace(FIXED_RANK, alarm=ADALORA.alarm),
    ", without alarm": replace(ADALORA, alarm=0.0),
}
RATIOS = (
    ("ratio", "", ", fixed rank", 1 / 3),
    ("ratio with an alarm in both: of allocation", "", ", fixed rank with our alarm", None),
    ("ratio with an alarm in neither: of allocation", ", without alarm", ", fixed rank", None),
    ("ratio of fixed rank with our alarm to without", ", fixed rank with our alarm", ", fixed rank", None),
)


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
    """Examples until back by every arm, and their ratios, seed by seed.

    No arm is watched for longer than `most`: a ratio to one that was not back by then is an upper bound, one
    of it a lower.
    """
    seeds, before, most = (1, 320, 640) if short else (5, 1_000, 16_000)
    examples: dict[str, list[int]] = {}
    for name, settings in ARMS.items():
        runs = [recovery(settings, seed, before, most) for seed in range(seeds)]
        examples[name] = [run.most if run.examples is None else run.examples for run in runs]
        late = sum(run.examples is None for run in runs)
        note = f"{late} of {seeds} not back by {most}"
        what = f"examples until back{name}"
        yield Figure(row="drift", what=what, unit="slates", runs=examples[name], note=note)
    for what, one, other, bar in RATIOS:
        ratios = [mine / theirs for mine, theirs in zip(examples[one], examples[other], strict=True)]
        yield Figure(row="drift", what=what, unit="", runs=ratios, bar=bar, at_most=True)
