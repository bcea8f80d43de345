"""A consolidated base: the same predictions, the same bytes everywhere, and a stream that goes on."""

from dataclasses import asdict

import msgspec
import numpy as np
import pytest

from learner.base import parse_base
from learner.checkpoint import decode
from learner.consolidation import consolidate
from learner.draft import Draft
from learner.online import OnlineLearner
from learner.ports import Received
from learner.query import Query
from learner.scorer import Scorer, score
from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas.errors import CheckpointRefused
from schemas.labels import LabeledSlate, Outcome
from schemas.trace import Trace
from tests.drafts import manifest_of
from tests.loop_world import World
from tests.tastes import ITEMS, base, born, slates, turned
from tests.tiny import embed

BATCH = 32
SETTINGS = UpdateSettings(consolidate_every=600, step=2e-3, replay_memory=128, replay_horizon=256)
QUERIES = [
    Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=s.slate) for s in slates(20, 9, turned)
]

NOT_A_NUMBER = Outcome(item_id="i0", position=0, clicked=True, weight=float("nan"))


def learner() -> OnlineLearner:
    online = OnlineLearner(base(), embed, SETTINGS, seed=0)
    online.put_items(ITEMS)
    return online


def drafts(online: OnlineLearner, n: int, first: int = 10_000) -> list[Draft]:
    """Learn n batches, and publish after each."""
    made = []
    for number in range(n):
        online.learn(slates(BATCH, 3, turned, first=first + number * BATCH))
        made.append(online.checkpoint())
    return made


def folding(made: list[Draft]) -> Draft:
    """The draft that a later one was built on by consolidation."""
    versions = {draft.version: draft for draft in made}
    return next(versions[draft.folded] for draft in made if draft.folded is not None)


def test_a_folded_base_predicts_what_base_and_adapter_did() -> None:
    online, scorer = learner(), Scorer(base(), embed)
    scorer.put_items(ITEMS)
    made = drafts(online, 6)
    draft = folding(made)
    for one in made[: made.index(draft) + 1]:
        scorer.apply(manifest_of(one), one.payload)
    folded = consolidate(base(), decode(draft.payload)[0])
    knowledge = folded.knowledge(embed)
    knowledge.catalogue.put(ITEMS)
    for served, alone in zip(
        scorer.score(QUERIES), score(folded.ranker(), knowledge, QUERIES, "cpu"), strict=True
    ):
        np.testing.assert_allclose(served, alone, atol=1e-5)


def test_everyone_folds_the_same_bytes_into_the_same_base() -> None:
    draft = folding(drafts(learner(), 6))
    first, second = (consolidate(base(), decode(draft.payload)[0]) for _ in range(2))
    assert first.payload == second.payload
    assert parse_base(first.payload).hash == first.hash != base().hash


def test_scorers_follow_a_learner_through_consolidations() -> None:
    online, scorer = learner(), Scorer(base(), embed)
    scorer.put_items(list(reversed(ITEMS)))  # its rows are numbered otherwise
    frozen = scorer.score(QUERIES, frozen=True)
    made = drafts(online, 10)
    for draft in made:
        scorer.apply(manifest_of(draft), draft.payload)
    assert len({draft.base for draft in made}) >= 3
    assert scorer.version == made[-1].version
    own = score(online.ranker, online.knowledge, QUERIES, "cpu")
    for served, expected in zip(scorer.score(QUERIES), own, strict=True):
        np.testing.assert_allclose(served, expected, atol=4e-3)
    for now, then in zip(scorer.score(QUERIES, frozen=True), frozen, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_scorer_without_the_folded_version_refuses() -> None:
    made = drafts(learner(), 6)
    later = next(draft for draft in made if draft.folded is not None)
    scorer = Scorer(base(), embed)
    with pytest.raises(CheckpointRefused, match="expected base"):
        scorer.apply(manifest_of(later), later.payload)


def test_scorers_follow_a_learner_that_goes_back_before_its_consolidations() -> None:
    online, scorer = learner(), Scorer(base(), embed)
    scorer.put_items(ITEMS)
    held = online.snapshot().payload
    made = drafts(online, 10)
    assert len({draft.base for draft in made}) >= 3
    for draft in made:
        scorer.apply(manifest_of(draft), draft.payload)
    again = learner()
    again.restore(held)
    for draft in drafts(again, 10, first=50_000):  # other labels: other weights, and other bases in time
        scorer.apply(manifest_of(draft), draft.payload)
    assert scorer.base.hash == again.base_hash not in {draft.base for draft in made[1:]}
    own = score(again.ranker, again.knowledge, QUERIES, "cpu")
    for served, expected in zip(scorer.score(QUERIES), own, strict=True):
        np.testing.assert_allclose(served, expected, atol=4e-3)


def test_a_label_that_ruins_the_weights_costs_its_checkpoint_and_nothing_else() -> None:
    """Whatever was consolidated before: nobody refuses, and it is as if its batch had never come."""
    log, bad = slates(BATCH * 16, 3, turned, first=10_000), 10
    ruined = [msgspec.structs.replace(log[bad * BATCH], outcomes=[NOT_A_NUMBER])]
    (sound, refused), (hit, also) = (
        looped([*log[: bad * BATCH], *batch, *log[(bad + 1) * BATCH :]])
        for batch in ([], [*ruined, *log[bad * BATCH + 1 : (bad + 1) * BATCH]])
    )
    assert refused == also == []
    assert [record.value for record in hit.evaluations.records] == [BATCH]
    assert len({manifest.base for manifest, _ in hit.models.published}) >= 3
    assert hit.online.snapshot().payload == sound.online.snapshot().payload


def looped(log: list[LabeledSlate]) -> tuple[World, list[str]]:
    """Learn in the loop; with the versions that a scorer refused."""
    received = {0: [Received(slate, Trace(), 0, number) for number, slate in enumerate(log)]}
    settings = LearnerSettings(batch_max=BATCH, publish_ms=1, snapshot_s=1e6, **asdict(SETTINGS))
    world, scorer, refused = World(received, online=learner, settings=settings), Scorer(base(), embed), []
    world.loop.restore()
    world.steps(len(log) // BATCH, ms=300)
    for manifest, payload in world.models.published:
        try:
            scorer.apply(manifest, payload)
        except CheckpointRefused:
            refused.append(manifest.version)
    return world, refused


def test_a_damaged_checkpoint_over_a_new_base_leaves_a_scorer_where_it_was() -> None:
    made, scorer = drafts(learner(), 6), Scorer(base(), embed)
    later = next(number for number, draft in enumerate(made) if draft.folded is not None)
    for draft in made[:later]:
        scorer.apply(manifest_of(draft), draft.payload)
    with pytest.raises(CheckpointRefused, match="sha256"):
        scorer.apply(manifest_of(made[later]), b"")
    assert (scorer.version, scorer.base.hash) == (made[later - 1].version, base().hash)
    scorer.apply(manifest_of(made[later]), made[later].payload)
    assert scorer.base.hash == made[later].base


def test_resuming_over_a_consolidated_base_equals_running_through() -> None:
    through, resumed = learner(), learner()
    drafts(through, 6)
    resumed.restore(through.snapshot().payload)
    resumed.put_items(ITEMS)
    for online in (through, resumed):
        online.learn(slates(BATCH, 4, born, first=90_000))
    assert through.snapshot().payload == resumed.snapshot().payload


def test_a_checkpoint_of_some_rows_cannot_be_folded() -> None:
    online = OnlineLearner(base(), embed, UpdateSettings(), seed=0)
    online.put_items(ITEMS)
    online.learn(slates(2, 3, turned, first=10_000))
    with pytest.raises(CheckpointRefused, match=r"all .* rows of items"):
        consolidate(base(), decode(online.checkpoint().payload)[0])
