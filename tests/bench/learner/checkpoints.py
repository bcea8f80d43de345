"""Checkpoint: its size, its largest record, and what it costs the thread that trains."""

from collections.abc import Iterator
from itertools import islice
from time import perf_counter, thread_time

from learner.checkpoint import chunk
from learner.loop import fault_in
from learner.update_settings import UpdateSettings
from tests.bench.learner.workload import labels, learner
from tests.bench.report import Figure
from tests.drafts import manifest_of

SLATES = 100
"""Between two checkpoints: half a second's, at two thousand examples a second in slates of ten."""


def checkpoints(short: bool) -> Iterator[Figure]:
    """Sizes and times over a chain of checkpoints, full ones among them."""
    online, stream = learner(UpdateSettings()), labels(10)
    sizes, records, spent, cpu = [], [], [], []
    for _ in range(21 if short else 60):
        online.learn(list(islice(stream, SLATES)))
        before, cpu_before = perf_counter(), thread_time()
        draft = online.checkpoint()
        assert fault_in(draft) is None
        spent.append(1e3 * (perf_counter() - before))
        cpu.append(1e3 * (thread_time() - cpu_before))
        sizes.append(len(draft.payload) / 1e3)
        records.append(max(len(record.value) for record in chunk(manifest_of(draft), draft.payload)) / 1e3)
    yield Figure(row="checkpoint", what="bytes", unit="kB", runs=sizes, bar=200, at_most=True)
    yield Figure(
        row="checkpoint", what="largest record of all", unit="kB", runs=[max(records)], bar=900, at_most=True
    )
    yield Figure(row="checkpoint", what="added to its step", unit="ms", runs=spent, bar=5, at_most=True)
    yield Figure(row="checkpoint", what="added to its step, CPU", unit="ms", runs=cpu)
