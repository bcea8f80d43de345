"""Allocation cost: what importance, orthogonality and allocation add to a step of fixed-rank LoRA."""

from collections.abc import Iterator
from itertools import islice
from time import process_time

from learner.online import OnlineLearner
from learner.update_settings import UpdateSettings
from schemas.labels import LabeledSlate
from tests.bench.learner.workload import BATCH, labels, learner
from tests.bench.report import Figure

FIXED_RANK = UpdateSettings(orthogonality=0.0, allocate_every=0)


def allocation_cost(short: bool) -> Iterator[Figure]:
    """The same labels by turns to a learner that allocates and to one of fixed rank; CPU time of each call.

    Pairs of `allocate_every` steps, so that each holds one allocation; who begins alternates.
    """
    for batch in (BATCH, 16):
        adaptive, fixed = learner(UpdateSettings()), learner(FIXED_RANK)
        steps = UpdateSettings().allocate_every if batch < BATCH else 10
        stream = labels(1)
        for online in (adaptive, fixed):
            _spent(online, [list(islice(labels(1, seed=1), batch))])
        extra = []
        for pair in range(3 if short else 9):
            batches = [list(islice(stream, batch)) for _ in range(steps)]
            spent = {}
            for online in (adaptive, fixed) if pair % 2 else (fixed, adaptive):
                spent[online] = _spent(online, batches)
            extra.append(100 * (spent[adaptive] / spent[fixed] - 1))
        what = f"over fixed-rank LoRA, batches of {batch}"
        bar = 10 if batch == BATCH else None
        yield Figure(row="allocation cost", what=what, unit="%", runs=extra, bar=bar, at_most=True)


def _spent(online: OnlineLearner, batches: list[list[LabeledSlate]]) -> float:
    before = process_time()
    for batch in batches:
        online.learn(batch)
    return process_time() - before
