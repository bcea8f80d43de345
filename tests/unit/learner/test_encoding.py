"""However many queries and candidates are encoded together, each pair gets the same numbers."""

import numpy as np

from learner.catalogue import Keys
from learner.counters import WIDTH
from learner.encoding import Encoded
from learner.knowledge import Knowledge
from learner.query import Query
from learner.ranker import RankerSettings
from schemas.events import Item
from schemas.labels import Session, SessionItem

N = 80
SHAPE = RankerSettings(text_width=4, items=128, users=16, attributes=64, contexts=8)
ITEMS = [
    Item(
        item_id=f"i{n}",
        ts=0,
        title="",
        tags=[f"t{n % 5}", f"t{n % 7}"][: n % 3],
        attributes={"maker": f"m{n % 4}", "share": n / 7},
        duration_ms=1_000.0 * n,
        created_ts=n,
    )
    for n in range(N)
]


def knowledge() -> Knowledge:
    keys = Keys(names=("maker",), numbers=("share",))
    known = Knowledge(SHAPE, keys, lambda texts: np.zeros((len(texts), 4), np.float32))
    known.catalogue.put(ITEMS)
    rng = np.random.default_rng(0)
    for table in known.counters.tables.values():
        table[1:8] = rng.integers(1, 9, (7, WIDTH))
    return known


def query(user: int, candidates: list[str]) -> Query:
    recent = [
        SessionItem(item_id=f"i{7 * n}", action="click", satisfaction=n / 9, age_s=60.0 * n)
        for n in range(3 * user)
    ]
    return Query(
        user_id=f"u{user}",
        session=Session(recent=recent),
        ts=86_400_000 * user,
        candidates=candidates,
        surface="feed",
    )


def test_candidates_are_encoded_together_as_one_by_one() -> None:
    known = knowledge()
    encoder = known.encoder

    def seen(asked: Query) -> Encoded:
        (encoded,) = encoder.encode_seen([encoder.see(asked, known.vocabulary.items.rows(asked.candidates))])
        return encoded

    everything = [item.item_id for item in ITEMS] + ["unknown"]
    queries = [query(user, everything[user:]) for user in range(4)]
    for asked, many in zip(queries, encoder.encode_many(queries, [None] * 4), strict=True):
        np.testing.assert_allclose(many.features, seen(asked).features, rtol=1e-6, atol=1e-6)
        alone = [seen(query(int(asked.user_id[1:]), [one])) for one in asked.candidates]
        np.testing.assert_allclose(
            many.features, np.concatenate([one.features for one in alone]), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_array_equal(many.rows, np.concatenate([one.rows for one in alone]))


def test_nothing_to_encode() -> None:
    encoder = knowledge().encoder
    assert encoder.encode_many([], []) == encoder.encode_seen([]) == []
