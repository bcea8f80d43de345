"""Rate: labelled examples learned a second, from a decoded label to moved weights, replay included."""

from collections.abc import Iterator
from itertools import islice
from time import perf_counter, process_time

import torch

from learner.ranker import RankerSettings
from learner.update_settings import UpdateSettings
from tests.bench.learner.workload import BATCH, FADING, SHAPE, labels, learner
from tests.bench.report import Figure

CPU_BAR, GPU_BAR = 2_000, 50_000
FULL = UpdateSettings()
FASTER = (
    UpdateSettings(bfloat16=True),
    UpdateSettings(compile=True),
    UpdateSettings(bfloat16=True, compile=True),
)


def rate(short: bool) -> Iterator[Figure]:
    """Examples a second by wall clock, in updates of 256 slates, for slates of ten and of one outcome.

    By both session encoders: the transformer, also compiled and with products in bfloat16, and the fading
    means that are the default.
    """
    for shape, settings in ((SHAPE, FULL), *((SHAPE, faster) for faster in FASTER), (FADING, FULL)):
        for threads in (1, 2):
            for outcomes in (10, 1):
                bar, updates = CPU_BAR if threads == 2 else None, 3 if short else 9
                yield from _rate(shape, settings, outcomes, threads, "cpu", bar, updates)


def gpu(short: bool) -> Iterator[Figure]:
    """The same on a GPU, where there is one."""
    if torch.cuda.is_available():
        yield from _rate(SHAPE, FULL, 10, 1, "cuda", GPU_BAR, 10 if short else 60, batch=4_096)


def _rate(
    shape: RankerSettings,
    settings: UpdateSettings,
    outcomes: int,
    threads: int,
    device: str,
    bar: float | None,
    updates: int,
    batch: int = BATCH,
) -> Iterator[Figure]:
    torch.set_num_threads(threads)
    online, stream = learner(settings, shape, device), labels(outcomes)
    wall, cpu = [], []
    for update in range(updates + 2):
        slates = list(islice(stream, batch))
        before, cpu_before = perf_counter(), process_time()
        examples = online.learn(slates).examples
        if update >= 2:  # the first ones allocate memory
            wall.append(examples / (perf_counter() - before))
            cpu.append(1e6 * (process_time() - cpu_before) / examples)
    torch.set_num_threads(1)
    encoder = f"{shape.layers} layers" if shape.layers else "fading means"
    encoder += ", compiled" if settings.compile else ""
    encoder += ", bfloat16" if settings.bfloat16 else ""
    what = f"{encoder}, slates of {outcomes}, sessions of 50, batch {batch}, {device}, {threads} thread(s)"
    yield Figure(row="rate", what=what, unit="examples/s", runs=wall, bar=bar)
    yield Figure(row="rate", what=f"{what}: CPU time", unit="µs/example", runs=cpu)
