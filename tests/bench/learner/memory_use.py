"""Memory: the process over a million examples, new users and items among them all the time."""

from collections.abc import Iterator
from itertools import islice

import psutil

from learner.update_settings import UpdateSettings
from tests.bench.learner.workload import TINY, labels, learner
from tests.bench.report import Figure

PER_SLATE = 4
FILLED = 440_000
"""Examples after which ledger and replay memory are full, and all that may grow has grown."""


def memory_use(short: bool) -> Iterator[Figure]:
    """Resident memory every 40,000 examples, and at the end over that of when the bounds were reached."""
    total = 520_000 if short else 1_000_000
    online, stream = learner(UpdateSettings(), TINY), labels(PER_SLATE, touches=3, fresh=0.1)
    resident = {}
    step = 1_000
    for done in range(step * PER_SLATE, total + 1, step * PER_SLATE):
        online.learn(list(islice(stream, step)))
        if done % 40_000 == 0:
            _ = online.checkpoint().version  # asked for, as whoever publishes does
            resident[done] = psutil.Process().memory_info().rss / 1e6
    filled, last = resident[FILLED], resident[max(resident)]
    note = f"every 40,000 of {total:,} examples"
    yield Figure(row="memory", what="resident", unit="MB", runs=list(resident.values()), note=note)
    note = f"{filled:.0f} → {last:.0f} MB, from {FILLED:,} examples on"
    growth = 100 * (last / filled - 1)
    yield Figure(
        row="memory", what="growth at the end", unit="%", runs=[growth], bar=2, at_most=True, note=note
    )
