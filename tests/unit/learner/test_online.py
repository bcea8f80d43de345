"""The online learner on a tiny planted log: it repeats, resumes, and scorers follow it."""

import gc
import threading
import weakref
from dataclasses import replace
from typing import cast

import msgspec
import numpy as np
import pytest

from learner.backfill import train_base
from learner.fitting import BackfillSettings
from learner.learned_arms import AdaLora, Frozen
from learner.online import FULL_EVERY, OnlineLearner
from learner.query import Query
from learner.scorer import Scorer
from learner.update_settings import UpdateSettings
from learner.user_share import YOUNG
from schemas.checkpoint import Manifest
from schemas.codec import decode, encode
from schemas.errors import CheckpointRefused, SnapshotError
from schemas.events import Item
from schemas.labels import LabeledSlate
from tests.drafts import manifest_of
from tests.tiny import ITEMS, SHAPE, base, embed, labels

SETTINGS = UpdateSettings(
    rank=4,
    mean_rank=2,
    replay_memory=64,
    replay_horizon=128,
    allocate_every=3,
    descent_examples=64,
)


def learner(seed: int = 0, settings: UpdateSettings = SETTINGS) -> OnlineLearner:
    online = OnlineLearner(base(), embed, settings, seed)
    online.put_items(ITEMS)
    return online


def batches(n: int, seed: int, size: int = 16) -> list[list[LabeledSlate]]:
    stream = labels(size * n, seed)
    return [stream[start : start + size] for start in range(0, len(stream), size)]


QUERIES = [
    Query(
        user_id=f"u{n}", session=labels(1, seed=n)[0].session, ts=10**6, candidates=[i.item_id for i in ITEMS]
    )
    for n in range(4)
]


def test_any_position_that_a_record_can_hold_is_learned() -> None:
    online, slates = learner(), []
    for slate in batches(1, seed=2)[0]:
        far = [msgspec.structs.replace(one, position=2**31 - 1) for one in slate.outcomes]
        slates.append(decode(LabeledSlate, encode(msgspec.structs.replace(slate, outcomes=far))))
    online.learn(slates)
    assert online.checkpoint().version


def test_the_same_seed_and_labels_give_the_same_checkpoints() -> None:
    first, second = learner(), learner()
    for batch in batches(4, seed=2):
        first.learn(batch)
        second.learn(batch)
        assert first.checkpoint().version == second.checkpoint().version


@pytest.mark.parametrize(("cut", "size"), [(1, 16), (4, 16), (7, 16), (5, 1)])
def test_resuming_a_snapshot_equals_running_through(cut: int, size: int) -> None:
    through, crashed = learner(), learner()
    stream = batches(8, seed=3, size=size)
    for batch in stream[:cut]:
        through.learn(batch)
        crashed.learn(batch)
    resumed = learner(seed=99)  # its own chance must not matter
    resumed.restore(crashed.snapshot().payload)
    resumed.put_items(ITEMS)
    for batch in stream[cut:]:
        through.learn(batch)
        resumed.learn(batch)
    assert list(resumed.learned_ids()) == list(through.learned_ids())
    assert resumed.examples_seen == through.examples_seen
    assert resumed.checkpoint().payload == through.checkpoint().payload


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, closeness=0.1, alarm=0.5)])
def test_a_state_stays_that_of_its_moment_while_the_learner_goes_on(settings: UpdateSettings) -> None:
    online = learner(settings=settings)
    first, *later = batches(6, seed=3)
    online.learn(first)
    held = online.snapshot()
    payload = held.payload
    for batch in later:
        online.learn(batch)
        online.checkpoint()
        online.put_items([replace_title(item) for item in ITEMS])
    assert held.payload == payload != online.snapshot().payload


def replace_title(item: Item) -> Item:
    return msgspec.structs.replace(item, title=f"{item.title}, again")


def test_updates_of_one_slate_replay_as_much_as_larger_ones() -> None:
    def users_moved(replay: float) -> list[int]:
        online, moved = learner(settings=replace(SETTINGS, replay=replay)), []
        for batch in batches(60, seed=3, size=1):
            online.learn(batch)
            draft = online.checkpoint()
            moved += [] if draft.parent is None else [len(draft.weights.numbers["users"])]
        return moved

    assert set(users_moved(replay=0.0)) == {1}
    # One of two brings a replayed slate, whose user is mostly, not always, another.
    assert 0.3 < np.mean(np.array(users_moved(replay=0.5)) == 2) < 0.65


def test_a_label_seen_twice_changes_nothing() -> None:
    online = learner()
    [batch] = batches(1, seed=4)
    online.learn(batch)
    before = online.snapshot().payload
    again = online.learn(batch)
    assert (again.examples, again.label_ids) == (0, [])
    assert online.snapshot().payload == before


def test_a_label_that_comes_twice_at_once_is_told_once() -> None:
    [batch] = batches(1, seed=4)
    assert learner().learn([*batch, *batch]).label_ids == [label.label_id for label in batch]


@pytest.mark.parametrize(("ledger", "learned"), [(16, 0), (15, 1)])
def test_a_label_counts_once_as_long_as_the_ledger_reaches(ledger: int, learned: int) -> None:
    online = learner(settings=replace(SETTINGS, ledger=ledger))
    (slates,) = batches(1, seed=2)
    online.learn(slates)
    assert online.learn(slates[:1]).examples == learned * len(slates[0].outcomes)


def test_a_scorer_follows_a_chain_of_deltas() -> None:
    online, scorer, arm = learner(), Scorer(base(), embed), AdaLora(base(), ITEMS, embed, seed=0)
    scorer.put_items(ITEMS)
    arm._learner = online  # the arm scores with the learner's own weights: what the scorer must agree with
    sizes = []
    for batch in batches(FULL_EVERY + 2, seed=5):
        online.learn(batch)
        draft = online.checkpoint()
        scorer.apply(manifest_of(draft), draft.payload)
        sizes.append((draft.parent is None, len(draft.payload)))
        assert scorer.version == draft.version
    assert [full for full, _ in sizes].count(True) == 2
    for served, own in zip(scorer.score(QUERIES), arm.score(QUERIES), strict=True):
        np.testing.assert_allclose(served, own, atol=2e-3)  # rows travel in half precision


def test_an_item_that_comes_while_a_checkpoint_is_prepared_is_not_lost() -> None:
    late = [Item(item_id=f"late{n}", ts=0, title=f"chess {n}", tags=["chess"]) for n in range(8)]
    waiting, coming = iter(late), []

    class Manifested:
        """A manifest that lets an item come, on another thread, whenever its version is looked at."""

        def __getattr__(self, name: str) -> object:
            if name == "version" and (item := next(waiting, None)) is not None:
                coming.append(threading.Thread(target=scorer.put_items, args=([item],)))
                coming[-1].start()
                coming[-1].join(0.1)
            return getattr(manifest, name)

    online, scorer, early = learner(), Scorer(base(), embed), Scorer(base(), embed)
    online.learn(batches(1, seed=5)[0])
    draft = online.checkpoint()
    manifest = manifest_of(draft)
    scorer.apply(cast(Manifest, Manifested()), draft.payload)
    for thread in coming:
        thread.join()
    early.put_items(late[: len(coming)])
    early.apply(manifest, draft.payload)
    queries = [replace(query, candidates=[item.item_id for item in late]) for query in QUERIES]
    assert coming
    for served, expected in zip(scorer.score(queries), early.score(queries), strict=True):
        np.testing.assert_allclose(served, expected, atol=1e-6)


def test_a_draft_does_not_keep_those_before_it() -> None:
    online, drafts = learner(), []
    for batch in batches(3, seed=5):
        online.learn(batch)
        draft = online.checkpoint()
        assert draft.version  # asked for, as whoever publishes does
        drafts.append(weakref.ref(draft))
    del draft
    gc.collect()
    assert [kept() is not None for kept in drafts] == [False, False, True]


def test_the_base_stays_what_it_was_while_the_stream_is_learned() -> None:
    online, scorer, frozen = learner(), Scorer(base(), embed), Frozen(base(), ITEMS, embed)
    scorer.put_items(ITEMS)
    before = scorer.score(QUERIES)
    for batch in batches(5, seed=6):
        online.learn(batch)
    draft = online.checkpoint()
    scorer.apply(manifest_of(draft), draft.payload)
    for kept, first, arm in zip(
        scorer.score(QUERIES, frozen=True), before, frozen.score(QUERIES), strict=True
    ):
        np.testing.assert_array_equal(kept, first)
        np.testing.assert_allclose(kept, arm, atol=1e-6)
    assert any(
        np.abs(now - then).max() > 1e-3 for now, then in zip(scorer.score(QUERIES), before, strict=True)
    )


def test_rows_that_the_base_does_not_know_are_the_same_to_learner_and_scorer() -> None:
    one, other = base().ranker().state_dict(), base().ranker().state_dict()
    for name, tensor in one.items():
        np.testing.assert_array_equal(tensor, other[name], name)


def test_learning_lowers_the_loss_after_every_user_changed_their_mind() -> None:
    stream = labels(960, seed=7, turned=1)

    def late_loss(online: OnlineLearner) -> float:
        losses = [online.learn(stream[start : start + 16]).loss for start in range(0, len(stream), 16)]
        return float(np.mean(losses[-20:]))

    unmoved = learner(settings=replace(SETTINGS, step=0.0, dense_step=0.0, row_step=0.0))
    moved = learner(settings=replace(SETTINGS, row_step=0.015))
    assert late_loss(moved) < 0.99 * late_loss(unmoved)


def test_a_delta_without_its_parent_is_refused_and_the_serving_version_stays() -> None:
    online, scorer = learner(), Scorer(base(), embed)
    drafts = []
    for batch in batches(3, seed=8):
        online.learn(batch)
        drafts.append(online.checkpoint())
    scorer.apply(manifest_of(drafts[0]), drafts[0].payload)
    with pytest.raises(CheckpointRefused, match="parent"):
        scorer.apply(manifest_of(drafts[2]), drafts[2].payload)
    assert scorer.version == drafts[0].version


def test_after_a_restore_the_next_checkpoint_is_full() -> None:
    online = learner()
    for batch in batches(2, seed=9):
        online.learn(batch)
        online.checkpoint()
    online.restore(online.snapshot().payload)
    assert online.checkpoint().parent is None


def test_a_snapshot_of_another_base_is_refused() -> None:
    other = train_base(ITEMS, labels(50, seed=11), embed, "planted", SHAPE, BackfillSettings(epochs=1)).base
    with pytest.raises(SnapshotError, match="expected base"):
        OnlineLearner(other, embed, UpdateSettings(rank=4), 0).restore(learner().snapshot().payload)


def test_a_snapshot_of_another_rank_is_refused_by_name_and_changes_nothing() -> None:
    grown, online = learner(settings=replace(SETTINGS, rank=8)), learner()
    for seed, one in ((11, grown), (12, online)):
        for batch in batches(2, seed):
            one.learn([_by(label, seed) for label in batch])
    before = online.snapshot().payload
    with pytest.raises(SnapshotError, match="FRESHRANK_RANK=4, got one of 8"):
        online.restore(grown.snapshot().payload)
    assert online.snapshot().payload == before


def test_a_base_has_room_for_its_catalogue_and_as_many_again_and_what_is_beyond_is_told() -> None:
    shape = replace(SHAPE, items=8)
    small = train_base(ITEMS, labels(20, seed=1), embed, "planted", shape, BackfillSettings(epochs=1)).base
    online = OnlineLearner(small, embed, SETTINGS, seed=0)
    assert online.put_items(ITEMS) == 0
    others = [Item(item_id=f"new{n}", ts=0, title=f"jazz {n}", tags=["jazz"]) for n in range(len(ITEMS) + 3)]
    assert online.put_items(others) == 3
    assert len(online.knowledge.catalogue.candidate_ids()) == 2 * len(ITEMS)


def test_no_user_moves_more_than_their_share_and_a_restart_does_not_show() -> None:
    """One of 25 sends half of all labels."""
    settings = replace(SETTINGS, user_share=0.1)
    online, again = learner(settings=settings), learner(settings=settings)
    stream = [_by(one, n % 50 // 2 if n % 2 else 0) for n, one in enumerate(labels(1_200, seed=12))]
    for start in range(0, len(stream), 100):
        online.learn(stream[start : start + 100])
        again.restore(online.snapshot().payload)
        assert again.snapshot().payload == online.snapshot().payload
    assert 0.08 < online._shares.of("user-0") <= 0.1


def test_a_checkpoint_holds_no_more_of_a_user_than_their_share_and_the_next_as_much_again() -> None:
    """Of `YOUNG` units, as it holds little else; 25 users are known from before."""
    online = learner(settings=replace(SETTINGS, user_share=0.1))
    stream = [_by(one, n % 25) for n, one in enumerate(labels(1_000, seed=13))]
    online.learn(stream)
    for seed in (14, 15):
        online.checkpoint()
        heavy = [_renamed(_by(one, 0), seed) for one in labels(120, seed=seed)]
        examples = sum(online.learn(heavy[n : n + 20]).examples for n in range(0, 120, 20))
        _, draft = online._shares.snapshot()
        assert draft.weights == {"user-0": pytest.approx(0.1 * YOUNG)}
        assert examples < 0.5 * 120 * 3


def test_scorers_hear_of_what_counts_though_its_user_moves_no_more() -> None:
    online, scorer = learner(settings=replace(SETTINGS, user_share=0.1, replay=0.0)), Scorer(base(), embed)
    scorer.put_items(ITEMS)
    online.learn([_by(one, n % 25) for n, one in enumerate(labels(1_000, seed=13))])
    _publish(online, scorer)
    heavy = [_renamed(_by(one, 0), 14) for one in labels(300, seed=14)]
    online.learn([label for label in heavy if "i7" not in label.slate])
    assert online.learn([label for label in heavy if "i7" in label.slate]).examples == 0
    _publish(online, scorer)
    counted = online.knowledge.counters.snapshot()
    for name, served in scorer.model[1].counters.snapshot().items():
        np.testing.assert_allclose(served, counted[name], rtol=1e-3)


def _renamed(label: LabeledSlate, number: int) -> LabeledSlate:
    return msgspec.structs.replace(label, request_id=f"{label.request_id}-{number}")


def _by(label: LabeledSlate, number: int) -> LabeledSlate:
    return msgspec.structs.replace(label, user_id=f"user-{number}")


def test_scorers_hear_of_what_is_taken_back() -> None:
    """Its rows are in no example, and go out with the next delta all the same."""
    online, scorer, arm = learner(), Scorer(base(), embed), AdaLora(base(), ITEMS, embed, seed=0)
    scorer.put_items(ITEMS)
    arm._learner = online
    [batch] = batches(1, seed=5)
    assert online.learn(batch).examples
    _publish(online, scorer)
    before = scorer.score(QUERIES)
    assert online.learn([_doubted(label) for label in batch]).examples == 0
    _publish(online, scorer)
    after = scorer.score(QUERIES)
    for served, own in zip(after, arm.score(QUERIES), strict=True):
        np.testing.assert_allclose(served, own, atol=2e-3)
    assert any(np.abs(now - then).max() > 1e-2 for now, then in zip(after, before, strict=True))


def _publish(online: OnlineLearner, scorer: Scorer) -> None:
    draft = online.checkpoint()
    scorer.apply(manifest_of(draft), draft.payload)


def _doubted(label: LabeledSlate) -> LabeledSlate:
    outcomes = [msgspec.structs.replace(outcome, trust=0.0, final=True) for outcome in label.outcomes]
    return msgspec.structs.replace(label, revision=99, outcomes=outcomes)
