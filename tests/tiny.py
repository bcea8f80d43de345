"""A tiny planted world as labels, and a base trained on it in a second or two, once per test run."""

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from learner.backfill import train_base
from learner.base import Base
from learner.fitting import BackfillSettings
from learner.ranker import RankerSettings
from schemas.events import Item
from schemas.labels import LabeledSlate, Outcome, Session, SessionItem

KINDS = ("jazz", "chess", "cooking")
SHAPE = RankerSettings(
    width=16,
    layers=1,
    heads=2,
    length=8,
    text_width=8,
    hidden=16,
    items=64,
    users=64,
    attributes=64,
    contexts=8,
)


def items(kinds: Sequence[str], count: int) -> list[Item]:
    """Items that take turns through the kinds, and through five makers."""
    turns = [(number, kinds[number % len(kinds)]) for number in range(count)]
    return [
        Item(
            item_id=f"i{number}",
            ts=0,
            title=f"{kind} {number}",
            tags=[kind],
            attributes={"maker": number % 5},
        )
        for number, kind in turns
    ]


ITEMS = items(KINDS, 30)


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors that depend on a text's first word alone."""
    seeds = [int.from_bytes(hashlib.blake2b(t.split()[0].encode()).digest()[:4], "big") for t in texts]
    return np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds], np.float32).reshape(-1, 8)


def labels(n: int, seed: int, turned: int = 0) -> list[LabeledSlate]:
    """User u likes kind (u + turned) % 3, and clicks what they like nine times of ten."""
    rng = np.random.default_rng(seed)
    return [label(number, rng, turned) for number in range(n)]


def label(number: int, rng: np.random.Generator, turned: int) -> LabeledSlate:
    user = int(rng.integers(20))
    shown = [int(item) for item in rng.choice(len(ITEMS), 3, replace=False)]
    likes = [(item % 3 == (user + turned) % 3) == (rng.random() < 0.9) for item in shown]
    recent = [SessionItem(item_id=f"i{user % 3 + 3}", action="click", satisfaction=1.0, age_s=60)]
    return LabeledSlate(
        request_id=f"r{number}",
        revision=0,
        user_id=f"u{user}",
        ts=number * 1000,
        observed_ts=number * 1000,
        session=Session(recent=recent, counters={"impressions": 5, "clicks": 2}),
        slate=[f"i{item}" for item in shown],
        outcomes=[
            Outcome(item_id=f"i{item}", position=place, clicked=liked, final=True)
            for place, (item, liked) in enumerate(zip(shown, likes, strict=True))
        ],
    )


@cache
def base() -> Base:
    settings = BackfillSettings(epochs=2, batch=64)
    return train_base(ITEMS, labels(200, seed=1), embed, "planted", SHAPE, settings).base
