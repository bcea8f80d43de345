"""A learner that is killed in the middle of the stream: afterwards every label is in the weights, once."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from learner import snapshots
from learner.base import load_base
from learner.ledger import Ledger
from learner.online import OnlineLearner
from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas.checkpoint import Snapshot
from schemas.codec import decode
from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from tests.e2e.conftest import Loop, Past
from tests.synthetic import Habits, log

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

SLATES = 120
SETTLE_S = 25.0
QUICK = Habits(click_delay=100.0, dwell_liked=300.0, dwell_other=50.0, between_slates=50.0)
"""Event time passes as fast as the clock, more or less, and windows are two seconds."""


def test_killed_in_the_stream_every_label_is_learned_once(loop: Loop, past: Past) -> None:
    events = in_the_present(log(past.world, n_slates=SLATES, slate_size=5, seed=1, habits=QUICK))
    middle = len(events) // 2
    loop.send(*events[:middle])
    first = loop.learner.until(lambda: newest(loop, past), SETTLE_S, "a snapshot")
    loop.send(*events[middle : middle + 50])
    loop.learner.kill()
    loop.send(*events[middle + 50 :])
    loop.start_learner()
    assert "restored snapshot" in loop.learner.tail()

    labels = all_labels(loop)
    ends = Counter(str(partition) for partition, _ in labels)
    loop.learner.until(
        lambda: newest(loop, past).snapshot.offsets == ends, SETTLE_S, "a snapshot of everything"
    )
    last = newest(loop, past)
    assert sum(first.snapshot.offsets.values()) < sum(ends.values()), "it was killed in the middle"

    slates = [slate for _, slate in labels]
    learned = restored(past, last.payload)
    assert Counter(learned.learned_ids()) == Counter(slate.label_id for slate in slates)
    assert learned.examples_seen == examples_in(slates)


@dataclass(frozen=True)
class Saved:
    payload: bytes
    snapshot: Snapshot


def newest(loop: Loop, past: Past) -> Saved | None:
    settings = LearnerSettings(state_dir=loop.settings.state_dir)
    found = snapshots.newest(settings.snapshot_dir(past.hash))
    return None if found is None else Saved(*found)


def in_the_present(events: Sequence[UserEvent]) -> list[UserEvent]:
    """The same events, the last of them now."""
    shift = time.time_ns() // 1_000_000 - events[-1].ts
    return [msgspec.structs.replace(event, ts=event.ts + shift) for event in events]


def all_labels(loop: Loop) -> list[tuple[int, LabeledSlate]]:
    """Partition and label of all that the worker made: one final label a slate."""

    def read(records: list) -> list[tuple[int, LabeledSlate]]:
        return [(record.partition, decode(LabeledSlate, record.value)) for record in records]

    def final(records: list) -> int:
        slates = (slate for _, slate in read(records))
        return len({slate.request_id for slate in slates if all(o.final for o in slate.outcomes)})

    loop.cluster.read("labels", lambda records: final(records) == SLATES, SETTLE_S)
    time.sleep(2 * loop.settings.window_s)  # corrections may follow for another window
    return read(loop.cluster.read("labels", lambda records: final(records) == SLATES, SETTLE_S))


def restored(past: Past, payload: bytes) -> OnlineLearner:
    def no_text(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.zeros((len(texts), 384), np.float32)

    learner = OnlineLearner(load_base(past.base), no_text, UpdateSettings(), seed=0)
    learner.restore(payload)
    return learner


def examples_in(slates: Sequence[LabeledSlate]) -> int:
    """How many outcomes a learner finds new that is given every label once."""
    ledger = Ledger(capacity=10_000)
    return sum(len(ledger.admit(slate)) for slate in slates)
