"""Rows that change owners under way: learner, scorers and snapshots agree on whose they are."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from learner.affinities import Engagement
from learner.base import Base
from learner.draft import Draft
from learner.learned_arms import AdaLora
from learner.online import FULL_EVERY, OnlineLearner
from learner.query import Query
from learner.ranking import Ranking
from learner.scorer import Scorer
from learner.update_settings import UpdateSettings
from schemas.events import Item
from schemas.labels import LabeledSlate
from tests.drafts import manifest_of
from tests.tiny import ITEMS, base, embed, labels
from tests.unit.learner.test_online import SETTINGS

BOUND = 40
USERS = 20  # of the base


def small() -> Base:
    """The tiny base with room for a few more ids than it has."""
    return replace(base(), settings=replace(base().settings, items=BOUND, users=BOUND))


def visitors(n: int, seed: int) -> list[LabeledSlate]:
    """Labels of ever new users, each of whom stays for a while, and of ever new items, one a slate."""
    return [_visit(slate, number) for number, slate in enumerate(labels(n, seed))]


def _visit(slate: LabeledSlate, number: int) -> LabeledSlate:
    new = f"n{number // 4}"
    first = msgspec.structs.replace(slate.outcomes[0], item_id=new)
    return msgspec.structs.replace(
        slate,
        user_id=f"v{number // 3}",
        slate=[new, *slate.slate[1:]],
        outcomes=[first, *slate.outcomes[1:]],
    )


def learner(settings: UpdateSettings = SETTINGS, seed: int = 0) -> OnlineLearner:
    online = OnlineLearner(small(), embed, settings, seed)
    online.put_items(ITEMS)
    return online


def full() -> Base:
    """The tiny base with no room for any id but those that it has."""
    shape = replace(base().settings, users=1 + len(base().ids["users"]), items=1 + len(base().ids["items"]))
    return replace(base(), settings=shape)


def scorer(over: Base | None = None) -> Scorer:
    found = Scorer(over or small(), embed)
    found.put_items(ITEMS)
    return found


def batches(n: int, seed: int) -> list[list[LabeledSlate]]:
    stream = visitors(8 * n, seed)
    return [stream[start : start + 8] for start in range(0, len(stream), 8)]


def everybody(slates: list[LabeledSlate]) -> list[Query]:
    """Every user that was ever met, asking for every item that was ever shown."""
    items = sorted({item for slate in slates for item in slate.slate})
    users = sorted({slate.user_id for slate in slates})
    session = slates[0].session
    return [Query(user_id=user, session=session, ts=10**6, candidates=items) for user in users]


def assert_agree(online: OnlineLearner, served: Scorer, slates: list[LabeledSlate]) -> None:
    queries = everybody(slates)
    arm = AdaLora(small(), ITEMS, embed, seed=0)
    arm._learner = online
    for theirs, own in zip(served.score(queries), arm.score(queries), strict=True):
        np.testing.assert_allclose(theirs, own, atol=2e-3)  # rows travel in half precision


@pytest.mark.parametrize("admit_after", [1, 2])
def test_scorers_follow_when_rows_change_owners_and_one_starts_cold(admit_after: int) -> None:
    online, warm, cold = learner(replace(SETTINGS, admit_after=admit_after)), scorer(), scorer()
    seen: list[LabeledSlate] = []
    drafts: list[Draft] = []
    for batch in batches(FULL_EVERY + 3, seed=5):
        online.learn(batch)
        seen += batch
        drafts.append(online.checkpoint())
        warm.apply(manifest_of(drafts[-1]), drafts[-1].payload)
    newest_full = max(n for n, draft in enumerate(drafts) if draft.parent is None)
    for draft in drafts[newest_full:]:
        cold.apply(manifest_of(draft), draft.payload)
    assert newest_full > 0
    assert online.knowledge.vocabulary.users.lookup("v0") == 0
    assert online.knowledge.vocabulary.users.lookup(seen[-2].user_id)
    assert_agree(online, warm, seen)
    assert_agree(online, cold, seen)


def test_a_row_with_a_new_owner_is_as_at_birth() -> None:
    online = learner()
    vocabulary = online.knowledge.vocabulary
    vocabulary.users.meet([f"v{n}" for n in range(BOUND)])
    vocabulary.tick()
    row = vocabulary.users.admit("newcomer")
    table = online.ranker.users.a
    assert row
    with torch.no_grad():
        table[row], online._updater._adagrad.state[table]["sum"][row] = 1.0, 5.0
    online._intake.forget()
    online.checkpoint()
    assert not table[row].any()
    sums = online._updater._adagrad.state[table]["sum"]
    assert sums[row].unique().tolist() == pytest.approx([0.1])


@pytest.mark.parametrize("consolidate_every", [0, 200])
def test_rows_of_the_base_go_to_who_comes_when_the_table_is_full(consolidate_every: int) -> None:
    settings = replace(SETTINGS, consolidate_every=consolidate_every)
    online, resumed = (OnlineLearner(full(), embed, settings, seed) for seed in (0, 99))
    warm, cold = scorer(full()), scorer(full())
    for one in (online, resumed):
        one.put_items(ITEMS)
        one.remove_item("i7")  # what is in the catalogue keeps its row
    for one in (warm, cold):
        one.remove_item("i7")
    stream = batches(FULL_EVERY + 3, seed=5)
    drafts: list[Draft] = []
    for batch in stream:
        online.learn(batch)
        drafts.append(online.checkpoint())
        warm.apply(manifest_of(drafts[-1]), drafts[-1].payload)
    assert (len({draft.base for draft in drafts}) > 2) == bool(consolidate_every)
    users, items = online.knowledge.vocabulary.users, online.knowledge.vocabulary.items
    assert users.lookup("u0") == items.lookup("i7") == 0
    assert all(users.lookup(slate.user_id) for slate in stream[-1])
    assert_agree(online, warm, [slate for batch in stream for slate in batch])
    for draft in drafts:
        if draft.parent is None or cold.version:
            cold.apply(manifest_of(draft), draft.payload)
    assert_agree(online, cold, [slate for batch in stream for slate in batch])
    resumed.restore(online.snapshot().payload)
    again = batches(FULL_EVERY + 4, seed=5)[-1]
    for one in (online, resumed):
        one.learn(again)
    assert resumed.snapshot().payload == online.snapshot().payload


def test_an_item_that_comes_when_the_table_is_full_is_served_once_the_learner_has_a_row_for_it() -> None:
    online, served = OnlineLearner(full(), embed, SETTINGS, seed=0), scorer(full())
    online.put_items(ITEMS)
    stream = labels(16, seed=5)
    _publish(online, served, stream[:8])
    for one in (online, served):
        one.remove_item("i7")
    online.learn([slate for slate in stream[8:] if "i7" not in slate.slate])
    for one in (online, served):
        one.put_items([Item(item_id="new", ts=0, title="jazz new", tags=["jazz"])])
    assert "new" in online.knowledge.catalogue.candidate_ids()
    _publish(online, served, [])
    assert served.candidate_ids() == online.knowledge.catalogue.candidate_ids()
    shown = [msgspec.structs.replace(slate, slate=["new", *slate.slate]) for slate in stream]
    assert_agree(online, served, shown)


def test_an_item_that_was_left_out_is_served_once_there_is_room() -> None:
    """As after a learner went back to when it knew fewer ids."""
    online, back, served = learner(), learner(), scorer()
    for batch in batches(10, seed=5):
        _publish(online, served, batch)
    new = [Item(item_id=f"new{n}", ts=0, title="jazz new", tags=["jazz"]) for n in range(4)]
    served.put_items(new)
    assert "new3" not in served.candidate_ids()
    back.put_items(new)
    _publish(back, served, labels(8, seed=6))
    assert sorted(served.candidate_ids()) == sorted(back.knowledge.catalogue.candidate_ids())


def test_an_item_that_the_learner_left_out_is_learned_with_its_text_once_there_is_a_row() -> None:
    online, served = OnlineLearner(full(), embed, SETTINGS, seed=0), scorer(full())
    online.put_items(ITEMS)
    stream = labels(40, seed=5)
    _publish(online, served, stream[:8])
    new = Item(item_id="new", ts=0, title="jazz new", tags=["jazz"])
    assert online.put_items([new]) == 1
    served.put_items([new])
    for one in (online, served):
        one.remove_item("i7")
    rest = [slate for slate in stream[8:] if "i7" not in slate.slate]
    for slate in rest:
        _publish(online, served, [slate])
    catalogue, row = online.knowledge.catalogue, online.knowledge.vocabulary.items.lookup("new")
    assert catalogue.known[row]
    assert catalogue.text[row].any()
    shown = [msgspec.structs.replace(slate, slate=["new", *slate.slate]) for slate in rest]
    assert_agree(online, served, shown)


def _publish(online: OnlineLearner, served: Scorer, slates: list[LabeledSlate]) -> None:
    online.learn(slates)
    draft = online.checkpoint()
    served.apply(manifest_of(draft), draft.payload)


@pytest.mark.parametrize("cut", [3, 9])
def test_resuming_while_rows_change_owners_equals_running_through(cut: int) -> None:
    settings = replace(SETTINGS, admit_after=2)
    through, crashed = learner(settings), learner(settings)
    stream = batches(14, seed=7)
    for batch in stream[:cut]:
        through.learn(batch)
        crashed.learn(batch)
    resumed = OnlineLearner(small(), embed, settings, seed=99)
    resumed.restore(crashed.snapshot().payload)
    resumed.put_items(ITEMS)
    for batch in stream[cut:]:
        through.learn(batch)
        resumed.learn(batch)
    assert resumed.checkpoint().payload == through.checkpoint().payload


def test_a_snapshot_between_a_new_item_and_the_next_label_knows_whose_row_it_is() -> None:
    through, resumed = learner(), learner()
    for batch in batches(12, seed=5):
        through.learn(batch)
    new = [Item(item_id="brand-new", ts=0, title="jazz new", tags=["jazz"])]
    through.put_items(new)
    resumed.restore(through.snapshot().payload)
    resumed.put_items(new)
    row = resumed.knowledge.vocabulary.items.lookup("brand-new")
    assert row
    assert not resumed.ranker.tower.ids.a[row].any()
    batch = batches(13, seed=5)[12]
    assert resumed.learn(batch).loss == through.learn(batch).loss
    assert resumed.snapshot().payload == through.snapshot().payload


def test_going_back_to_a_snapshot_keeps_the_catalogue_of_since() -> None:
    online = learner()
    stream = batches(12, seed=8)
    for batch in stream[:6]:
        online.learn(batch)
    held = online.snapshot().payload
    for batch in stream[6:]:
        online.learn(batch)
    online.put_items([Item(item_id="late", ts=0, title="jazz late", tags=["jazz"])])
    online.restore(held)
    catalogue, rows = online.knowledge.catalogue, online.knowledge.vocabulary.items
    assert set(catalogue.candidate_ids()) == {*(item.item_id for item in ITEMS), "late"}
    np.testing.assert_array_equal(catalogue.text[rows.lookup("late")], embed(["jazz"])[0])
    online.learn(stream[6])
    served = scorer()
    draft = online.checkpoint()
    served.apply(manifest_of(draft), draft.payload)
    assert_agree(online, served, [*stream[0], *stream[6]])


def test_what_went_together_with_an_old_owner_is_forgotten() -> None:
    ranking = Ranking(8)
    for row in (1, 2, 3):
        before = np.array([other for other in (1, 2, 3) if other != row], np.int32)
        ranking.fold(1, Engagement(row, 10, 1.0, before, np.ones(2, np.bool_)))
    ranking.forget("items", np.array([2]))
    liked = np.ones(1, np.bool_)
    near = ranking.affinities.near(np.array([1], np.int32), liked, 8)
    assert near.touched[3] > 0 == near.touched[2] == near.liked[2]
    assert not ranking.affinities.near(np.array([2], np.int32), liked, 8).touched.any()
    assert ranking.negatives.engaged(1).tolist() == [1, 3]
    ranking.forget("users", np.array([1]))
    assert not len(ranking.negatives.engaged(1))
