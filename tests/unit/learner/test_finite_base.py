"""A base is of finite weights: whatever items measure, and or else there is none."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from learner.backfill import train_base
from learner.base import Base
from learner.fitting import BackfillSettings
from learner.query import Query
from learner.scorer import Scorer
from schemas.errors import BaseError
from schemas.events import Item
from schemas.labels import LabeledSlate
from tests.tiny import ITEMS, SHAPE, embed, labels

SETTINGS = BackfillSettings(epochs=1, batch=64)
SLATES = labels(100, seed=1)


def trained(items: Sequence[Item], slates: Sequence[LabeledSlate] = SLATES) -> Base:
    return train_base(items, slates, embed, "planted", SHAPE, SETTINGS).base


def priced(*prices: float) -> list[Item]:
    """The tiny world's items, whose prices are these in turn."""
    return [
        msgspec.structs.replace(item, attributes={"price": prices[n % len(prices)]})
        for n, item in enumerate(ITEMS)
    ]


@pytest.mark.parametrize("price", [1e39, 3e38, 2.0**63, 1e300])
def test_no_price_ruins_a_base(price: float) -> None:
    items = priced(price, -price, 4.99, 10)
    base = trained(items)
    assert all(np.isfinite(weight.numpy()).all() for weight in base.weights.values())
    scorer = Scorer(base, embed)
    scorer.put_items(items)
    asked = Query(user_id="u1", session=SLATES[0].session, ts=1, candidates=[item.item_id for item in items])
    assert np.isfinite(scorer.score([asked])[0]).all()


def test_of_a_price_beyond_all_bounds_there_is_still_to_see_that_it_is_the_highest() -> None:
    known = trained(priced(1e39, 4.99)).knowledge(embed)
    high, low = known.catalogue.put(priced(1e39, 4.99)[:2])
    assert known.catalogue.numbers[high, 0] > 1e9 * known.catalogue.numbers[low, 0]


def test_a_base_that_is_not_finite_is_refused() -> None:
    heavy = [msgspec.structs.replace(one, weight=3e38) for one in SLATES[-1].outcomes]
    ruinous = [*SLATES[:-1], msgspec.structs.replace(SLATES[-1], outcomes=heavy)]
    with pytest.raises(BaseError, match=r"^backfill: expected finite weights after training, got nan in \w+"):
        trained(ITEMS, ruinous)
