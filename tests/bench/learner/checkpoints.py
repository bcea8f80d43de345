"""Checkpoint: its size, its largest record, and what it costs the thread that trains."""

from collections.abc import Iterator
from itertools import islice
from time import perf_counter, thread_time

from learner.checkpoint import chunk
from learner.loop import fault_in
from learner.online import OnlineLearner
from learner.update_settings import UpdateSettings
from schemas.labels import LabeledSlate
from tests.bench.learner.workload import choices, labels, learner, ranking_learner
from tests.bench.report import Figure
from tests.drafts import manifest_of

SLATES = 100
"""Between two checkpoints: half a second's, at two thousand examples a second in slates of ten."""


def checkpoints(short: bool) -> Iterator[Figure]:
    """Sizes and times over chains of checkpoints, full ones among them: of slates, and of a ranking log.

    Of the ranking log the tables are full, and one in twenty users and items is new: rows change owners all
    the time, and every checkpoint names some.
    """
    count = 21 if short else 60
    yield from _chain("", learner(UpdateSettings()), labels(10), count)
    settings = UpdateSettings()
    yield from _chain(", ranking log, tables full", ranking_learner(settings), choices(fresh=0.05), count)


def _chain(name: str, online: OnlineLearner, stream: Iterator[LabeledSlate], count: int) -> Iterator[Figure]:
    sizes, records, spent, cpu = [], [], [], []
    for _ in range(count):
        online.learn(list(islice(stream, SLATES)))
        before, cpu_before = perf_counter(), thread_time()
        draft = online.checkpoint()
        assert fault_in(draft) is None
        spent.append(1e3 * (perf_counter() - before))
        cpu.append(1e3 * (thread_time() - cpu_before))
        sizes.append(len(draft.payload) / 1e3)
        records.append(max(len(record.value) for record in chunk(manifest_of(draft), draft.payload)) / 1e3)
    yield Figure(row="checkpoint", what=f"bytes{name}", unit="kB", runs=sizes, bar=200, at_most=True)
    what = f"largest record of all{name}"
    yield Figure(row="checkpoint", what=what, unit="kB", runs=[max(records)], bar=900, at_most=True)
    what = f"added to its step{name}"
    yield Figure(row="checkpoint", what=what, unit="ms", runs=spent, bar=5, at_most=True)
    yield Figure(row="checkpoint", what=f"{what}, CPU", unit="ms", runs=cpu)
