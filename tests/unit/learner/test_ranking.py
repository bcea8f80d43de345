"""Learning from feedback that names no slate: the live learner ranks a catalogue, and scorers follow it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from learner.backfill import train_base
from learner.base import Base, load_base, save_base
from learner.evaluation import rank_of
from learner.fitting import BackfillSettings
from learner.intake import Intake
from learner.learned_arms import AdaLora
from learner.ledger import Ledger
from learner.online import OnlineLearner
from learner.query import TASKS, Query
from learner.ranker import RankerSettings
from learner.scorer import Scorer, score
from learner.shortlist import MOST
from learner.update_settings import UpdateSettings
from schemas.events import Item
from schemas.labels import FEEDBACK_SURFACE, LabeledSlate, Outcome, Session, SessionItem
from tests.drafts import manifest_of

KINDS = ("jazz", "chess", "cooking", "poetry")
SHAPE = RankerSettings(
    width=16,
    layers=1,
    heads=2,
    length=8,
    text_width=8,
    hidden=16,
    items=1_024,
    users=64,
    attributes=64,
    contexts=8,
)
ITEMS = [
    Item(item_id=f"i{n}", ts=0, title=f"{KINDS[n % 4]} {n}", tags=[KINDS[n % 4]]) for n in range(MOST + 20)
]
SETTINGS = UpdateSettings(rank=4, mean_rank=2, replay_memory=64, replay_horizon=128)
CLICK = TASKS.index("click")


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors that depend on a text's first word alone."""
    seeds = [int.from_bytes(hashlib.blake2b(t.split()[0].encode()).digest()[:4], "big") for t in texts]
    drawn = np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds], np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def ratings(n: int, seed: int) -> Iterator[LabeledSlate]:
    """User u likes kind u % 4 and rates of the next items of that kind; a tenth is of another, not liked."""
    rng = np.random.default_rng(seed)
    rated: dict[int, list[SessionItem]] = {}
    for number in range(n):
        user = int(rng.integers(20))
        liked = bool(rng.random() < 0.9)
        item = int(rng.integers(20)) * 4 + (user + (not liked)) % 4
        yield rating(number, user, item, liked, rated.setdefault(user, [])[-5:])
        rated[user].append(
            SessionItem(item_id=f"i{item}", action="rating", satisfaction=0.2 + 0.7 * liked, age_s=9)
        )


def rating(number: int, user: int, item: int, liked: bool, recent: list[SessionItem]) -> LabeledSlate:
    judged = Outcome(
        item_id=f"i{item}", position=0, clicked=liked, satisfaction=0.2 + 0.7 * liked, final=True
    )
    return LabeledSlate(
        request_id=f"feedback:{number}",
        revision=0,
        user_id=f"u{user}",
        ts=number * 1000,
        observed_ts=number * 1000,
        surface=FEEDBACK_SURFACE,
        session=Session(recent=recent),
        slate=[f"i{item}"],
        outcomes=[judged],
    )


@cache
def base() -> Base:
    return train_base(
        ITEMS, ratings(300, seed=1), embed, "planted", SHAPE, BackfillSettings(epochs=3, batch=32)
    ).base


def learner() -> OnlineLearner:
    made = OnlineLearner(base(), embed, SETTINGS, seed=0)
    made.put_items(ITEMS)
    return made


def query(kind: int, excluded: Sequence[int] = ()) -> Query:
    """What someone who liked three of a kind wants of the whole catalogue."""
    recent = [
        SessionItem(item_id=f"i{kind + 4 * n}", action="rating", satisfaction=0.9, age_s=9) for n in range(3)
    ]
    return Query(
        user_id="new",
        session=Session(recent=recent),
        ts=10**6,
        candidates=[item.item_id for item in ITEMS],
        surface=FEEDBACK_SURFACE,
        excluded=excluded,
    )


def test_a_log_without_slates_makes_a_base_that_ranks() -> None:
    assert base().settings.ranking
    assert not SHAPE.ranking


def test_a_base_of_that_kind_is_read_as_it_was_written(tmp_path) -> None:
    save_base(base(), tmp_path)
    found = load_base(tmp_path)
    assert found.hash == base().hash
    for scorer in (Scorer(found, embed), Scorer(base(), embed)):
        scorer.put_items(ITEMS)
    assert found.ranking.keys() == base().ranking.keys()


def test_a_copy_goes_on_serving_what_went_together_then() -> None:
    arm = AdaLora(base(), ITEMS, embed, seed=0, settings=SETTINGS)
    copy = arm.serving()
    [before] = copy.score([query(1)])
    arm.learn(list(ratings(100, seed=9)))
    np.testing.assert_array_equal(copy.score([query(1)])[0], before)


def test_what_goes_with_the_session_comes_first() -> None:
    scorer = Scorer(base(), embed)
    scorer.put_items(ITEMS)
    for kind in range(4):
        scores = scorer.score([query(kind)])[0][:, CLICK]
        first = np.argsort(-scores)[:10]
        assert (first % 4 == kind).mean() >= 0.8


def test_a_choice_is_learned_against_what_the_user_has_not_engaged_with() -> None:
    online = learner()
    intake = Intake(online.knowledge, Ledger(100), np.random.default_rng(0))
    slates = list(ratings(40, seed=2))
    examples = list(zip(slates, intake.take(slates), strict=True))
    rows = online.knowledge.vocabulary.items
    engaged: dict[str, set[int]] = {}
    for slate, example in examples:
        assert example is not None
        known = engaged.setdefault(slate.user_id, set())
        known.add(rows.lookup(slate.slate[0]))
        assert known.isdisjoint(example.encoded.rows[1:].tolist())
        assert len(example.log_q) == len(example.encoded.rows) - 1
        assert bool(len(example.log_q)) == slate.outcomes[0].clicked
        assert not example.weights[1:].any()


def test_scorers_follow_the_learner_by_full_checkpoints_and_by_engagements() -> None:
    online, scorer = learner(), Scorer(base(), embed)
    scorer.put_items(ITEMS)
    slates = list(ratings(60, seed=3))
    for start in range(0, 60, 20):
        online.learn(slates[start : start + 20])
        draft = online.checkpoint()
        scorer.apply(manifest_of(draft), draft.payload)
    late = Scorer(base(), embed)
    late.put_items(ITEMS)
    online.learn(list(ratings(10, seed=4)))
    again = OnlineLearner(base(), embed, SETTINGS, seed=0)
    again.restore(online.snapshot().payload)
    again.put_items(ITEMS)
    draft = again.checkpoint()  # after a restore it is full
    late.apply(manifest_of(draft), draft.payload)
    found, wanted = scorer.score([query(1)])[0], late.score([query(1)])[0]
    assert np.corrcoef(found[:, CLICK], wanted[:, CLICK])[0, 1] > 0.9


def test_new_items_in_a_full_table_travel_in_deltas() -> None:
    tight = replace(base(), settings=replace(base().settings, items=len(base().ids["items"]) + 6))
    online, scorer = OnlineLearner(tight, embed, SETTINGS, seed=0), Scorer(tight, embed)
    for one in (online, scorer):
        one.put_items(ITEMS[:4])
    slates, full = list(ratings(240, seed=6)), []
    for start in range(0, 240, 10):
        online.learn([*slates[start : start + 5], *map(_of_new, slates[start + 5 : start + 10])])
        draft = online.checkpoint()
        scorer.apply(manifest_of(draft), draft.payload)
        full.append(draft.parent is None)
    assert full.count(True) == 2
    asked = [replace(query(1), candidates=[f"n{n}" for n in range(240)] + [f"i{n}" for n in range(80)])]
    served, own = scorer.score(asked)[0], score(online.ranker, online.knowledge, asked, "cpu")[0]
    np.testing.assert_allclose(served, own, atol=4e-3)
    assert np.ptp(own[:240, CLICK]) > 0.01


def _of_new(slate: LabeledSlate) -> LabeledSlate:
    """The same of an item that nobody has heard of, the same for two labels."""
    item_id = f"n{int(slate.request_id.rpartition(':')[2]) // 2}"
    outcome = msgspec.structs.replace(slate.outcomes[0], item_id=item_id)
    return msgspec.structs.replace(slate, slate=[item_id], outcomes=[outcome])


def test_a_restored_learner_goes_on_as_if_nothing_had_happened() -> None:
    slates = list(ratings(40, seed=5))
    whole, resumed = learner(), learner()
    whole.learn(slates[:20])
    resumed.restore(whole.snapshot().payload)
    assert whole.learn(slates[20:]).loss == resumed.learn(slates[20:]).loss


def of_any(n: int, first: int, turned: int = 0) -> list[LabeledSlate]:
    """User u lately rated of kind u, and now of kind u + turned: any of it, which is hard to foretell."""
    rng = np.random.default_rng(first)

    def pick(kind: int) -> int:
        return int(rng.integers(len(ITEMS) // 4)) * 4 + kind % 4

    def one(number: int) -> LabeledSlate:
        user = int(rng.integers(20))
        recent = [
            SessionItem(item_id=f"i{pick(user)}", action="rating", satisfaction=0.9, age_s=9)
            for _ in range(4)
        ]
        return rating(number, user, pick(user + turned), True, recent)

    return [one(first + number) for number in range(n)]


def test_a_change_of_tastes_is_noticed_where_every_choice_is_hard_to_foretell() -> None:
    online = learner()

    def noticed(slates: list[LabeledSlate]) -> bool:
        return any(online.learn(slates[k : k + 20]).drifted for k in range(0, len(slates), 20))

    assert not noticed(of_any(300, first=0))
    assert noticed(of_any(160, first=10_000, turned=1))


def test_an_item_that_nobody_engaged_with_is_found_by_its_text() -> None:
    scorer = Scorer(base(), embed)
    scorer.put_items(ITEMS)
    scores = scorer.score([query(2)])[0][:, CLICK]
    cold = 4 * 100 + 2
    assert rank_of(cold, scores) < MOST


def test_excluded_candidates_take_no_place_of_the_shortlist() -> None:
    scorer = Scorer(base(), embed)
    scorer.put_items(ITEMS)
    excluded = list(range(80))
    scores = scorer.score([query(0, excluded)])[0][:, CLICK]
    assert not scores[excluded].any()
    assert (scores > 0).sum() > 50
