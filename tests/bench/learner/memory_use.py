"""Memory: the process over a million examples, new users and items among them all the time."""

from collections.abc import Iterator
from itertools import islice

import psutil

from learner.update_settings import UpdateSettings
from tests.bench.learner.workload import TINY, labels, learner
from tests.bench.report import Figure

PER_SLATE = 2
FILLED = 240_000
"""Examples after which ledger and replay memory are full, and all that may grow has grown."""


def memory_use(short: bool) -> Iterator[Figure]:
    """Resident memory every 40,000 examples from when the bounds are reached, over that of then."""
    total, filled = (320_000, FILLED) if short else (1_000_000, FILLED)
    online, stream = learner(UpdateSettings(), TINY), labels(PER_SLATE, touches=3, fresh=0.1)
    resident = []
    step = 1_000
    for done in range(0, total, step * PER_SLATE):
        online.learn(list(islice(stream, step)))
        if done >= filled and done % 40_000 == 0:
            online.checkpoint()
            resident.append(psutil.Process().memory_info().rss / 1e6)
    growth = [100 * (now / resident[0] - 1) for now in resident]
    note = f"{resident[0]:.0f} → {resident[-1]:.0f} MB, to {total:,} examples"
    yield Figure(
        row="memory", what="growth at the end", unit="%", runs=growth[-1:], bar=2, at_most=True, note=note
    )
