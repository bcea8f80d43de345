"""Planted worlds as labels, without a stream: users, each with a taste for one kind of item.

What a user touched lately is always of the kind they were born to; what they like can be another. So a change
of tastes is no noise, and must be learned by the weights: neither sessions nor counts of items give it away.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from learner.backfill import train_base
from learner.base import Base
from learner.fitting import BackfillSettings
from schemas.labels import LabeledSlate, Outcome, Session, SessionItem
from tests import tiny
from tests.tiny import embed, items

KINDS = ("jazz", "chess", "cooking", "football", "astronomy", "gardening")
USERS = 60
SLATE = 6
CLICKED_IF_LIKED, CLICKED_IF_NOT = 0.8, 0.1

SHAPE = replace(tiny.SHAPE, width=32, hidden=32, items=256, users=256)
ITEMS = items(KINDS, 120)

BASE_TRAINING = BackfillSettings(epochs=3, batch=32, calm=1.0, forget=0.2)

Taste = Callable[[int], int]
"""User → the kind they like."""


def born(user: int) -> int:
    """The taste of a user at birth."""
    return user % len(KINDS)


def turned(user: int) -> int:
    """The taste of a user after everybody changed their mind."""
    return (user + 1) % len(KINDS)


def slates(
    n: int, seed: int, taste: Taste, users: range = range(USERS), first: int = 0
) -> list[LabeledSlate]:
    """Slates of which half the items are liked; `first` numbers them on."""
    rng = np.random.default_rng([seed, first])
    return [_slate(first + number, int(rng.choice(users)), taste, rng) for number in range(n)]


def _slate(number: int, user: int, taste: Taste, rng: np.random.Generator) -> LabeledSlate:
    kind = taste(user)
    other = [item for item in range(len(ITEMS)) if item % len(KINDS) != kind]
    own = [item for item in range(len(ITEMS)) if item % len(KINDS) == kind]
    shown = rng.permutation([*rng.choice(own, SLATE // 2, False), *rng.choice(other, SLATE // 2, False)])
    touched = born(user) + len(KINDS) * rng.integers(len(ITEMS) // len(KINDS), size=4)
    return LabeledSlate(
        request_id=f"r{number}",
        revision=0,
        user_id=f"u{user}",
        ts=number * 1000,
        observed_ts=number * 1000,
        session=Session(
            recent=[
                SessionItem(item_id=f"i{item}", action="click", satisfaction=1.0, age_s=60)
                for item in touched
            ],
            counters={"impressions": 20, "clicks": 8},
        ),
        slate=[f"i{item}" for item in shown],
        outcomes=[_outcome(place, int(item), kind, rng) for place, item in enumerate(shown)],
    )


def _outcome(place: int, item: int, kind: int, rng: np.random.Generator) -> Outcome:
    chance = CLICKED_IF_LIKED if item % len(KINDS) == kind else CLICKED_IF_NOT
    return Outcome(item_id=f"i{item}", position=place, clicked=bool(rng.random() < chance), final=True)


@cache
def base(n: int = 1_000) -> Base:
    """A base trained on slates of the tastes of birth."""
    return train_base(ITEMS, slates(n, 1, born), embed, "planted", SHAPE, BASE_TRAINING).base
