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
from tests.cluster import PATIENCE_S, now_ms
from tests.e2e.conftest import Loop, Past
from tests.synthetic import Habits, log

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SLATES = 60
"""In each of two logs."""

QUICK = Habits(click_delay=100.0, dwell_liked=300.0, dwell_other=50.0, between_slates=50.0)
"""Event time passes as fast as the clock, more or less, and windows are two seconds."""


def test_killed_in_the_stream_every_label_is_learned_once(loop: Loop, past: Past) -> None:
    before, after = (log(past.world, SLATES, slate_size=5, seed=seed, habits=QUICK) for seed in (1, 2))
    before = moved(before, now_ms())
    loop.send(*before)
    first = loop.learner.until(lambda: newest(loop, past), PATIENCE_S, "a snapshot")
    # However long that took: behind the worker's time, which is the clock's by now, no slate gets a label.
    after = moved(after, max(now_ms(), before[-1].ts + 1))
    loop.send(*after[:50])
    loop.learner.kill()
    loop.send(*after[50:])
    loop.start_learner()
    assert "restored snapshot" in loop.learner.output()

    labels = all_labels(loop)
    ends = Counter(str(partition) for partition, _ in labels)
    loop.learner.until(
        lambda: newest(loop, past).snapshot.offsets == ends, PATIENCE_S, "a snapshot of everything"
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


def moved(events: Sequence[UserEvent], ts: int) -> list[UserEvent]:
    """The same events, the first of them at `ts`."""
    shift = ts - events[0].ts
    return [msgspec.structs.replace(event, ts=event.ts + shift) for event in events]


def all_labels(loop: Loop) -> list[tuple[int, LabeledSlate]]:
    """Partition and label of all that the worker made: one final label a slate."""

    def read(records: list) -> list[tuple[int, LabeledSlate]]:
        return [(record.partition, decode(LabeledSlate, record.value)) for record in records]

    def final(records: list) -> int:
        slates = (slate for _, slate in read(records))
        return len({slate.request_id for slate in slates if all(o.final for o in slate.outcomes)})

    loop.cluster.read("labels", lambda records: final(records) == 2 * SLATES)
    time.sleep(2 * loop.settings.window_s)  # corrections may follow for another window
    return read(loop.cluster.read("labels", lambda records: final(records) == 2 * SLATES))


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
