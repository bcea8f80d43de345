import logging
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner import checkpoint
from learner.loop import JOURNAL_LABELS, REJECTED, run
from learner.ports import ItemChange, Ports, Received, State
from schemas.errors import SnapshotError
from schemas.events import Item
from schemas.labels import LabeledSlate, Outcome, Session
from schemas.trace import Trace
from tests.fakes import (
    Crash,
    FakeClock,
    FakeEvaluations,
    FakeItems,
    FakeLabels,
    FakeModels,
    FakeOnline,
    FakeSnapshots,
)
from tests.loop_world import SETTINGS, World


def received(number: int, partition: int = 0, clicked: bool = True, event: int | None = 7) -> Received:
    slate = LabeledSlate(
        request_id=f"r{number}",
        revision=0,
        user_id="u",
        ts=1,
        observed_ts=2,
        session=Session(),
        slate=["a"],
        outcomes=[Outcome(item_id="a", position=0, clicked=clicked)],
    )
    return Received(slate, Trace(event=event, label=8), partition, number)


def log_of(count: int, partitions: int = 2) -> dict[int, list[Received]]:
    labels = [received(n, n % partitions) for n in range(count)]
    return {p: [one for one in labels if one.partition == p] for p in range(partitions)}


def ids_of(log: dict[int, list[Received]]) -> list[str]:
    return sorted(one.slate.label_id for labels in log.values() for one in labels)


def begun(count: int, partitions: int = 2, **world: Any) -> World:
    made = World(log_of(count, partitions), **world)
    made.loop.restore()
    return made


def test_labels_are_learned_and_published_once_the_interval_is_over() -> None:
    world = begun(4)
    world.steps(1)
    assert world.models.published == []
    world.steps(2, ms=250)
    [(manifest, payload)] = world.models.published
    assert manifest.examples_seen == 4
    assert manifest.offsets == {"0": 2, "1": 2}
    assert world.labels.committed == {0: 2, 1: 2}
    checkpoint.verify(manifest, payload, "base", {"weight": (1,)})


def test_by_examples_it_publishes_whatever_the_time() -> None:
    world = begun(9, settings=replace(SETTINGS, publish_examples=4))
    world.steps(5)
    assert [manifest.examples_seen for manifest, _ in world.models.published] == [4, 8]


def test_the_first_label_after_a_silence_is_published_at_once() -> None:
    world = begun(1)
    world.clock.now += 10_000
    world.steps(1)
    assert len(world.models.published) == 1


def test_nothing_is_published_where_nothing_was_learned() -> None:
    world = begun(0)
    world.steps(5, ms=10_000)
    assert world.models.published == []


def test_while_a_checkpoint_is_being_sent_the_next_one_gathers() -> None:
    world = begun(4)
    world.models.ready = False
    world.steps(3, ms=1_000)
    world.models.ready = True
    world.steps(1, ms=1_000)
    assert [manifest.examples_seen for manifest, _ in world.models.published] == [4]


def test_the_manifest_carries_stamped_traces_of_clicks_and_the_newest_snapshot() -> None:
    log = {0: [received(0), received(1, clicked=False), received(2, event=None), received(3)]}
    world = World(log)
    world.loop.restore()
    world.steps(2, ms=40_000)
    first, second = (manifest for manifest, _ in world.models.published)
    assert first.learned == [Trace(event=7, label=8, learned=1_040_000)]
    assert second.learned == [Trace(event=7, label=8, learned=1_080_000)]
    assert (first.snapshot, second.snapshot) == (None, second.snapshot)
    assert second.snapshot is not None
    assert second.snapshot.offsets == first.offsets


def test_a_restart_goes_on_from_the_snapshot_and_its_offsets() -> None:
    world = begun(6)
    world.steps(1, ms=40_000)
    world.start()
    world.loop.restore()
    assert world.labels.next == {0: 2, 1: 0}
    world.steps(3)
    assert sorted(world.online.weights) == ids_of(world.log)


def test_stopping_publishes_and_snapshots_what_is_left() -> None:
    world = begun(2)
    world.steps(1)
    world.loop.finish()
    assert len(world.models.published) == 1
    assert world.snapshots.written is not None
    assert world.snapshots.written.offsets == world.models.published[0][0].offsets


def test_a_broker_that_does_not_take_the_last_checkpoint_keeps_its_state_out_of_the_snapshot() -> None:
    world = begun(2)
    world.models.ready = False
    world.steps(1, ms=40_000)
    world.loop.finish()
    assert world.snapshots.written is None


def test_run_ends_when_told_to() -> None:
    stop = threading.Event()
    stop.set()
    online, snapshots = FakeOnline(), FakeSnapshots()
    ports = Ports(
        labels=FakeLabels(log_of(2)),
        models=FakeModels(),
        snapshots=snapshots,
        items=FakeItems(),
        evaluations=FakeEvaluations(),
    )
    run(SETTINGS, online, ports, FakeClock(), stop)
    assert online.weights == []


def test_the_catalogue_is_read_before_the_first_label_and_followed_after() -> None:
    world = World(log_of(1))
    item = Item(item_id="a", ts=1, title="A")
    world.items.changes = [ItemChange("a", item), ItemChange("b", Item(item_id="b", ts=1, title="B"))]
    world.loop.restore()
    assert set(world.online.items) == {"a", "b"}
    world.items.changes = [ItemChange("b", None)]
    world.steps(1)
    assert world.online.items == {"a": item}


def test_items_that_there_is_no_room_for_are_told(caplog: pytest.LogCaptureFixture) -> None:
    world = World(log_of(1), lambda: FakeOnline(rows=1))
    world.items.changes = [ItemChange(key, Item(item_id=key, ts=1, title=key)) for key in "abc"]
    with caplog.at_level(logging.WARNING):
        world.loop.restore()
    assert "no row for 2 items" in caplog.text


def test_a_catalogue_that_does_not_come_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    world = World(log_of(1))
    world.items.read = False
    with caplog.at_level(logging.WARNING):
        world.loop.restore()
    assert "items not read" in caplog.text


@pytest.mark.parametrize("trouble", ["poison", "corrupt", "exploding"])
def test_a_ruined_state_is_neither_published_nor_kept(trouble: str) -> None:
    world = begun(10, online=lambda: FakeOnline(**{trouble: ["r4#0"]}))
    world.steps(10, ms=40_000)
    [record] = world.evaluations.records
    assert (record.name, record.value, record.slice["model"]) == (REJECTED, 2.0, "default")
    # The batch with the culprit is lost, and only it.
    assert len(world.online.weights) == 8
    assert "r4#0" not in world.online.weights
    assert [manifest.examples_seen for manifest, _ in world.models.published] == [2, 4, 6, 8]
    assert world.snapshots.written is not None
    assert world.snapshots.written.offsets == {"0": 5, "1": 5}


@pytest.mark.parametrize("trouble", ["poison", "corrupt", "exploding"])
def test_a_ruined_state_is_back_at_its_parent(trouble: str) -> None:
    world = begun(10, 1, online=lambda: FakeOnline(**{trouble: ["r5#0", "r8#0"]}))
    world.steps(5, ms=1_000)  # nothing is snapshotted in this time
    assert world.snapshots.written is None
    assert [manifest.examples_seen for manifest, _ in world.models.published] == [2, 4, 6]
    assert world.online.weights == [f"r{number}#0" for number in (0, 1, 2, 3, 6, 7)]
    assert [record.value for record in world.evaluations.records] == [2.0, 2.0]
    assert world.labels.offsets() == {0: 10}


def test_where_learning_again_ruins_what_was_sound_the_state_that_was_held_is_gone_back_to() -> None:
    world = begun(6, 1, online=lambda: FakeOnline(poison=["r4#0"]))
    world.steps(2, ms=1_000)
    world.online.corrupt = frozenset(["r2#0"])  # as after a change of the catalogue
    world.steps(1, ms=1_000)
    assert world.online.weights == []
    assert [record.value for record in world.evaluations.records] == [6.0]


def test_while_no_snapshot_can_be_written_what_would_be_learned_again_stays_bounded() -> None:
    class Watched(FakeOnline):
        held = 0

        def snapshot(self) -> State:
            self.held += 1
            return super().snapshot()

    world = begun(
        JOURNAL_LABELS, 1, online=Watched, settings=replace(SETTINGS, batch_max=JOURNAL_LABELS // 4)
    )
    world.snapshots.ready = False
    world.steps(4, ms=40_000)
    assert world.online.held == 1 + 1
    assert world.snapshots.written is None


def test_a_new_base_is_in_a_snapshot_before_scorers_hear_of_it() -> None:
    world = begun(10, 1, online=lambda: FakeOnline(folding=["r4#0"], poison=["r6#0"]))
    world.steps(3, ms=1_000)
    assert [manifest.base for manifest, _ in world.models.published] == ["base", "base", "base'"]
    assert world.snapshots.written is not None
    assert world.snapshots.written.offsets == world.models.published[-1][0].offsets
    world.steps(2, ms=1_000)  # a rejected checkpoint does not take it back either
    assert world.models.published[-1][0].base == "base'"


def test_nothing_is_snapshotted_between_a_checkpoint_and_its_folding() -> None:
    world = begun(4)
    world.online.is_folding = True
    world.steps(3, ms=40_000)
    world.loop.finish()
    assert world.models.published
    assert world.snapshots.written is None
    world.online.is_folding = False
    world.steps(1, ms=40_000)
    assert world.snapshots.written is not None


def test_a_new_base_that_cannot_be_kept_is_not_published() -> None:
    world = begun(10, 1, online=lambda: FakeOnline(folding=["r4#0"]))
    world.snapshots.ready = False
    with pytest.raises(SnapshotError, match="expected it whole"):
        world.steps(3, ms=1_000)
    assert [manifest.base for manifest, _ in world.models.published] == ["base", "base"]


@settings(max_examples=200)
@given(
    st.integers(0, 12), st.lists(st.integers(0, 40), max_size=4), st.sampled_from([0, 300, 20_000, 40_000])
)
def test_a_crash_between_any_two_steps_counts_every_label_once(
    count: int, crashes: list[int], step_ms: int
) -> None:
    world = World(log_of(count))
    for calls in crashes:
        countdown = iter(range(calls, -1, -1))
        world.start(dies=lambda left=countdown: next(left) == 0)
        try:
            world.loop.restore()
            world.steps(20, ms=step_ms)
        except Crash:
            continue
    world.start()
    world.loop.restore()
    world.steps(count + 1, ms=step_ms)
    world.loop.finish()
    assert sorted(world.online.weights) == ids_of(world.log)
    assert sorted(saved_ids(world.snapshots)) == (ids_of(world.log) if world.snapshots.written else [])


def saved_ids(snapshots: FakeSnapshots) -> list[str]:
    online = FakeOnline()
    if snapshots.written is not None:
        online.restore(snapshots.payload)
    return online.weights
