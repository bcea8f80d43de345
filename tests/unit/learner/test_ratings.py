"""The rating head: told apart by taste, measured on later ratings."""

from collections.abc import Iterator

import msgspec
import numpy as np

from learner.backfill import Trained, train_base
from learner.fitting import BackfillSettings
from learner.intake import Intake
from learner.knowledge import Knowledge
from learner.ledger import Ledger
from learner.query import Query
from learner.ratings import Rated, fit, rated
from schemas.labels import LabeledSlate
from tests.tiny import ITEMS, SHAPE, embed, labels

TRAINING = BackfillSettings(epochs=2, batch=64)
LIKED, NOT_LIKED = 4.5, 1.5


def with_stars(slate: LabeledSlate) -> LabeledSlate:
    """The same label of a user who rates the first item shown."""
    first, *others = slate.outcomes
    stars = LIKED if first.clicked else NOT_LIKED
    judged = msgspec.structs.replace(first, feedback={"rating": stars})
    return msgspec.structs.replace(slate, outcomes=[judged, *others])


def trained(stars: bool = True) -> Trained:
    slates = labels(600, seed=1)
    return train_base(ITEMS, map(with_stars, slates) if stars else slates, embed, "planted", SHAPE, TRAINING)


def test_stars_of_later_slates_are_told_better_than_by_their_mean() -> None:
    errors = trained().ratings
    assert errors is not None
    assert errors.count == 60
    assert errors.rmse < 0.9 * (LIKED - NOT_LIKED) / 2
    assert errors.mae <= errors.rmse


def test_a_log_without_ratings_has_no_rating_head() -> None:
    assert trained(stars=False).ratings is None


def test_rated_items_of_ones_own_kind_are_given_more_stars() -> None:
    base = trained().base
    knowledge, ranker = base.knowledge(embed), base.ranker()
    knowledge.catalogue.put(ITEMS)
    head = fit(ranker, knowledge.catalogue, list(judged(knowledge)))
    asked = [
        Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=[f"i{n}" for n in range(30)])
        for s in labels(3, seed=9)
    ]
    encoded = knowledge.encoder.encode_many(asked, [None] * len(asked))
    stars = head.stars(ranker, knowledge.catalogue, encoded).reshape(3, 30)
    assert stars.min() >= NOT_LIKED and stars.max() <= LIKED
    for query, row in zip(asked, stars, strict=True):
        kind = int(query.user_id[1:]) % 3
        assert row[kind::3].mean() > np.delete(row.reshape(10, 3), kind, axis=1).mean()


def judged(knowledge: Knowledge) -> Iterator[Rated]:
    """What users say of what they are shown."""
    slates = [with_stars(slate) for slate in labels(300, seed=2)]
    taken = Intake(knowledge, Ledger(1_000), np.random.default_rng(0)).take(slates)
    for slate, example in zip(slates, taken, strict=True):
        found = None if example is None else rated(slate, example, knowledge.vocabulary.items)
        if found is not None:
            yield found
