"""A real learner whose loss explodes, in the loop as it runs: nothing of it is published, nothing stays."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from learner.backfill import train_base
from learner.fitting import BackfillSettings
from learner.loop import REJECTED
from learner.online import OnlineLearner
from learner.ports import Received
from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas import codec
from schemas.labels import LabeledSlate
from schemas.trace import Trace
from tests.loop_world import World
from tests.tiny import ITEMS, SHAPE, base, embed, labels

BATCH = 16
ABSURD = [UpdateSettings(row_step=100.0), UpdateSettings(step=100.0), UpdateSettings(dense_step=100.0)]
HELD_BACK_BY_NOTHING = UpdateSettings(user_share=1.0)


def learner(settings: UpdateSettings) -> Callable[[], OnlineLearner]:
    def make() -> OnlineLearner:
        online = OnlineLearner(base(), embed, settings, seed=0)
        online.put_items(ITEMS)
        return online

    return make


def world_of(slates: Sequence[LabeledSlate], make: Callable[[], OnlineLearner]) -> World:
    """A loop that publishes after every batch, and has begun; labels come as they would: as bytes."""
    read = [codec.decode(LabeledSlate, codec.encode(slate)) for slate in slates]
    log = {0: [Received(slate, Trace(), 0, number) for number, slate in enumerate(read)]}
    world = World(log, make, LearnerSettings(batch_max=BATCH, publish_ms=1, snapshot_s=1))
    world.loop.restore()
    return world


def state(world: World) -> bytes:
    payload: bytes = world.online.snapshot().payload
    return payload


def lost(world: World) -> list[float]:
    assert {record.name for record in world.evaluations.records} <= {REJECTED}
    return [record.value for record in world.evaluations.records]


@pytest.mark.parametrize("settings", ABSURD, ids=["rows", "low rank", "dense"])
def test_a_step_that_ruins_the_weights_is_taken_back_before_anyone_hears_of_it(
    settings: UpdateSettings,
) -> None:
    world = world_of(labels(4 * BATCH, seed=5), learner(UpdateSettings()))
    world.steps(2, ms=2_000)
    published, sound = len(world.models.published), state(world)
    world.make = learner(settings)
    world.start()
    world.loop.restore()
    assert state(world) == sound
    world.steps(1, ms=2_000)
    assert lost(world) == [BATCH]
    assert state(world) == sound
    world.steps(1, ms=2_000)
    assert lost(world) == [BATCH, BATCH]
    assert len(world.models.published) == published == 2


@pytest.mark.parametrize("settings", ABSURD, ids=["rows", "low rank", "dense"])
def test_it_is_the_same_before_anything_was_published(settings: UpdateSettings) -> None:
    world = world_of(labels(2 * BATCH, seed=5), learner(settings))
    born = state(world)
    world.steps(2, ms=2_000)
    assert world.models.published == []
    assert lost(world) == [BATCH, BATCH]
    assert state(world) == born
    assert world.snapshots.payload == born, "of offsets behind the labels that are lost"


def test_a_valid_label_that_makes_the_loss_infinite_costs_its_batch_and_nothing_else() -> None:
    sound = labels(4 * BATCH, seed=5)
    heavy = msgspec.structs.replace(sound[2 * BATCH].outcomes[0], weight=3e38)
    ruinous = msgspec.structs.replace(sound[2 * BATCH], outcomes=[heavy])
    hit = world_of([*sound[: 2 * BATCH], ruinous, *sound[2 * BATCH + 1 :]], learner(HELD_BACK_BY_NOTHING))
    never = world_of([*sound[: 2 * BATCH], *sound[3 * BATCH :]], learner(HELD_BACK_BY_NOTHING))
    hit.steps(4, ms=2_000)
    never.steps(3, ms=2_000)
    assert lost(hit) == [BATCH]
    assert state(hit) == state(never)
    assert [manifest.examples_seen // 3 for manifest, _ in hit.models.published] == [16, 32, 48]


def test_a_world_that_has_changed_costs_one_checkpoint_and_not_every_one_from_now_on() -> None:
    """Nobody ever clicked, and then all do: that costs hundreds of times the usual by any weights."""
    quiet = [_clicked(label, False) for label in labels(400, seed=1)]
    settings = BackfillSettings(epochs=3, batch=16)
    base = train_base(ITEMS, quiet, embed, "planted", SHAPE, settings).base
    stream = labels(16 * BATCH, seed=5)
    turned = [_clicked(label, number >= 4 * BATCH) for number, label in enumerate(stream)]
    world = world_of(turned, lambda: OnlineLearner(base, embed, HELD_BACK_BY_NOTHING, seed=0))
    world.steps(16, ms=2_000)
    assert lost(world) == [BATCH]
    assert len(world.models.published) == 15


def _clicked(label: LabeledSlate, clicked: bool) -> LabeledSlate:
    outcomes = [msgspec.structs.replace(outcome, clicked=clicked) for outcome in label.outcomes]
    return msgspec.structs.replace(label, outcomes=outcomes)
