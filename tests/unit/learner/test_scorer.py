"""A scorer answers whatever queries come together, those with nothing to score among them."""

from collections.abc import Sequence

import numpy as np
import pytest

from learner.query import TASKS, Query
from learner.scorer import Scorer
from schemas.labels import Session
from tests.tiny import ITEMS, base, embed, labels

WARM = labels(1, seed=0)[0].session


def scorer() -> Scorer:
    made = Scorer(base(), embed)
    made.put_items(ITEMS)
    return made


def query(candidates: Sequence[str], session: Session = WARM) -> Query:
    return Query(user_id="u1", session=session, ts=10**6, candidates=candidates)


@pytest.mark.parametrize("session", [WARM, Session()], ids=["a session", "none"])
@pytest.mark.parametrize("sizes", [[0], [0, 0], [0, 3], [3, 0, 0, 2], [0, 1]])
def test_a_query_without_candidates_gets_no_scores_wherever_it_stands(
    sizes: list[int], session: Session
) -> None:
    ids = [item.item_id for item in ITEMS]
    queries = [query(ids[:size], session) for size in sizes]
    made = scorer()
    found = made.score(queries)
    assert [scores.shape for scores in found] == [(size, len(TASKS)) for size in sizes]
    for asked, scores in zip(queries, found, strict=True):
        np.testing.assert_allclose(scores, made.score([asked])[0], rtol=1e-5)
