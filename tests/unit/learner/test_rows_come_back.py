"""Ids of the base that lose their row to another and get one again: learner, scorers and snapshots agree."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from learner.archive import Whole, republished
from learner.checkpoint import decode
from learner.draft import Draft
from learner.online import OnlineLearner
from learner.rollback import whole_payload
from learner.scorer import Scorer
from learner.update_settings import UpdateSettings
from schemas.labels import LabeledSlate
from tests.drafts import manifest_of
from tests.tiny import embed, labels
from tests.unit.learner.test_online import SETTINGS
from tests.unit.learner.test_turnover import ITEMS, assert_agree, full, scorer

U0, *OTHERS = full().ids["users"]


def learner(settings: UpdateSettings = SETTINGS, seed: int = 0) -> OnlineLearner:
    online = OnlineLearner(full(), embed, settings, seed)
    online.put_items(ITEMS)
    return online


def visits(users: Sequence[str], seed: int) -> list[LabeledSlate]:
    """One label of each of these users, in this order."""
    made = zip(labels(len(users), seed), users, strict=True)
    return [
        msgspec.structs.replace(label, user_id=user, request_id=f"{seed}-{label.request_id}")
        for label, user in made
    ]


LOST = visits([*OTHERS, "guest"], seed=5)
BACK = visits([*OTHERS, U0], seed=6)


def publish(online: OnlineLearner, served: Scorer) -> Draft:
    draft = online.checkpoint()
    served.apply(manifest_of(draft), draft.payload)
    return draft


def started_cold(drafts: Sequence[Draft]) -> Scorer:
    """One that read the full checkpoints, into which later ones may be folded, and what follows the last."""
    served = scorer(full())
    last = max(n for n, draft in enumerate(drafts) if draft.parent is None)
    for n, draft in enumerate(drafts):
        if draft.parent is None or n > last:
            served.apply(manifest_of(draft), draft.payload)
    return served


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, consolidate_every=100)])
def test_one_that_gets_its_own_row_back_is_named(settings: UpdateSettings) -> None:
    online, resumed, warm = learner(settings), learner(settings, seed=9), scorer(full())
    users, drafts = online.knowledge.vocabulary.users, []
    row = users.lookup(U0)
    for stream, owner in ((LOST, "guest"), (BACK, U0)):
        for label in stream:
            online.learn([label])
            drafts.append(publish(online, warm))
        assert users.lookup(owner) == row
        assert_agree(online, warm, [*LOST, *BACK])
        assert_agree(online, started_cold(drafts), [*LOST, *BACK])
    resumed.restore(online.snapshot().payload)
    for one in (online, resumed):
        one.learn(visits([U0, "guest"], seed=7))
    assert resumed.snapshot().payload == online.snapshot().payload
    drafts.append(publish(online, warm))
    for served in (warm, started_cold(drafts)):
        assert_agree(online, served, [*LOST, *BACK])


def test_a_scorer_follows_a_learner_that_goes_back_to_when_the_base_had_its_row() -> None:
    online, warm = learner(), scorer(full())
    online.learn(BACK)
    publish(online, warm)
    held = online.snapshot().payload
    for label in LOST:
        online.learn([label])
        publish(online, warm)
    assert not online.knowledge.vocabulary.users.lookup(U0)
    online.restore(held)
    online.learn(visits([U0, *OTHERS[:3]], seed=8))
    publish(online, warm)
    assert online.knowledge.vocabulary.users.lookup(U0)
    assert_agree(online, warm, [*BACK, *LOST])


def test_a_version_is_the_same_when_it_is_published_again() -> None:
    online, warm, drafts = learner(), scorer(full()), []
    for label in [*LOST, *BACK]:
        online.learn([label])
        drafts.append(publish(online, warm))
    last = max(n for n, draft in enumerate(drafts) if draft.parent is None)
    chain = [Whole(manifest_of(draft), draft.payload) for draft in drafts[last:]]
    payload = whole_payload(full(), chain)
    again = scorer(full())
    again.apply(republished(chain[-1], payload, created_ts=0), payload)
    assert online.knowledge.vocabulary.users.lookup(U0) == full().ids["users"].index(U0) + 1
    assert_agree(online, again, [*LOST, *BACK])


def test_after_a_rollback_nobody_has_the_counts_of_whose_row_they_took() -> None:
    online, served = learner(), scorer(full())
    before = online.checkpoint()
    gone, row = "i7", online.knowledge.vocabulary.items.lookup("i7")
    for one in (online, served):
        one.remove_item(gone)
    shown = [label for label in LOST if gone not in label.slate]
    online.learn(shown)
    first = shown[0].outcomes[0]
    new = msgspec.structs.replace(
        shown[0], request_id="new", outcomes=[msgspec.structs.replace(first, item_id="new")], slate=["new"]
    )
    online.learn([new])
    counts = online.knowledge.counters.tables["items"]
    assert online.knowledge.vocabulary.items.id_of(row) == "new"
    assert full().counts["items"][row].any()
    online.roll_back(decode(whole_payload(full(), [Whole(manifest_of(before), before.payload)]))[0])
    assert not counts[row].any()
    publish(online, served)
    ids = served.model[1].vocabulary.items
    assert not served.model[1].counters.tables["items"][ids.lookup("new")].any()
