"""Snapshot: what all of the trainer's state costs the thread that trains, and what it costs beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import cycle, islice
from time import thread_time
from typing import TypeVar

from learner.online import OnlineLearner
from learner.update_settings import UpdateSettings
from tests.bench.learner.workload import BATCH, FADING, labels, learner
from tests.bench.report import Figure

T = TypeVar("T")


def trainer_snapshots(short: bool) -> Iterator[Figure]:
    """CPU time of the copy, which training waits for, and of encoding it, which another thread does."""
    online = learner(UpdateSettings(), FADING)
    stream = labels(10)
    for _ in range(2 if short else 8):
        online.learn(list(islice(stream, BATCH)))
    _fill(online)
    copied, encoded, size = [], [], 0
    for _ in range(3 if short else 15):
        online.learn(list(islice(stream, 16)))
        before = thread_time()
        state = online.snapshot()
        between = thread_time()
        size = sum(map(len, state.parts()))
        copied.append(1e3 * (between - before))
        encoded.append(1e3 * (thread_time() - between))
    note = f"{size / 1e6:.0f} MB: {UpdateSettings.ledger:,} slates in the ledger, the replay memory full"
    yield Figure(row="snapshot", what="adds to its step, CPU", unit="ms", runs=copied, note=note)
    yield Figure(row="snapshot", what="encoding it, on another thread, CPU", unit="ms", runs=encoded)


def _fill(online: OnlineLearner) -> None:
    """Let ledger and replay memory be as full as after a day, of what they hold already."""
    state = online.snapshot()
    ledger = state.ledger | _repeated(state.ledger, UpdateSettings.ledger - len(state.ledger))
    memory = list(islice(cycle(state.memory), UpdateSettings().replay_memory))
    online.restore(replace(state, ledger=ledger, memory=memory).payload)


def _repeated(entries: Mapping[str, T], count: int) -> dict[str, T]:
    return {f"again{number}": entry for number, entry in enumerate(islice(cycle(entries.values()), count))}
