"""Bad data: labels that ruin the weights, in the loop as it runs, beside one that never met them."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from learner.loop import REJECTED
from learner.online import OnlineLearner
from learner.ports import Received
from learner.query import Query
from learner.scorer import Scorer
from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas.errors import CheckpointRefused
from schemas.labels import LabeledSlate, Outcome
from schemas.trace import Trace
from tests.bench.report import Figure
from tests.loop_world import World
from tests.tastes import ITEMS, base, slates, turned
from tests.tiny import embed

BATCH, BATCHES = 32, 60
RUINOUS = Outcome(item_id="i0", position=0, clicked=True, weight=float("nan"))
QUERIES = [
    Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=s.slate) for s in slates(4, 9, turned)
]
BAD = (10, 30)
"""Numbers of the batches that hold a ruinous label."""


def bad_data(short: bool) -> Iterator[Figure]:
    """What was published, told and lost; one run a seed."""
    runs = [_Run(seed) for seed in range(1 if short else 3)]
    yield _figure(
        "checkpoints that a scorer refuses, or answers no number with", [run.unsound for run in runs]
    )
    what = f"evaluation records of a roll-back, less the {len(BAD)} labels that ruin"
    yield _figure(what, [run.records - len(BAD) for run in runs])
    yield _figure("labels lost beside those of the ruined batches", [run.lost for run in runs])
    what = "bytes of the state that differ from one that never met these batches"
    yield _figure(what, [run.apart for run in runs])


class _Run:
    """A loop that meets ruinous labels, and one to which their batches never come."""

    def __init__(self, seed: int) -> None:
        log = slates(BATCH * BATCHES, seed, turned, first=10_000)
        batches = [log[start : start + BATCH] for start in range(0, len(log), BATCH)]
        spoilt = [_spoil(b) if n in BAD else b for n, b in enumerate(batches)]
        hit = _looped(spoilt, seed)
        sound = _looped([batch for n, batch in enumerate(batches) if n not in BAD], seed)
        told = [record for record in hit.evaluations.records if record.name == REJECTED]
        self.records = len(told)
        self.lost = int(sum(record.value for record in told)) - BATCH * len(BAD)
        self.unsound = _unsound(hit)
        one, other = (np.frombuffer(w.online.snapshot().payload, np.uint8) for w in (hit, sound))
        self.apart = int((one != other).sum()) if len(one) == len(other) else max(len(one), len(other))


def _spoil(batch: Sequence[LabeledSlate]) -> list[LabeledSlate]:
    return [msgspec.structs.replace(batch[0], outcomes=[RUINOUS]), *batch[1:]]


def _learner() -> OnlineLearner:
    online = OnlineLearner(base(), embed, UpdateSettings(), seed=0)
    online.put_items(ITEMS)
    return online


def _looped(batches: Sequence[Sequence[LabeledSlate]], seed: int) -> World:
    labels = [slate for batch in batches for slate in batch]
    log = {0: [Received(slate, Trace(), 0, number) for number, slate in enumerate(labels)]}
    settings = LearnerSettings(batch_max=BATCH, publish_ms=1, snapshot_s=5, seed=seed)
    world = World(log, online=_learner, settings=settings)
    world.loop.restore()
    world.steps(len(batches), ms=300)
    return world


def _unsound(world: World) -> int:
    """Published checkpoints that a scorer refuses, or with which it answers no probability."""
    scorer, unsound = Scorer(base(), embed), 0
    scorer.put_items(ITEMS)
    for manifest, payload in world.models.published:
        try:
            scorer.apply(manifest, payload)
            unsound += not all(np.isfinite(answer).all() for answer in scorer.score(QUERIES))
        except CheckpointRefused:
            unsound += 1
    return unsound


def _figure(what: str, runs: Sequence[float]) -> Figure:
    return Figure(row="bad data", what=what, unit="", runs=runs, bar=0, at_most=True)
