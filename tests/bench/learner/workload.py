"""What the benchmarks learn: a base of the size that the bar names, and labels with full sessions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray

from learner.base import Base, freeze
from learner.catalogue import Embed, frequent_keys
from learner.knowledge import Knowledge
from learner.online import OnlineLearner
from learner.ranker import Ranker, RankerSettings
from learner.update_settings import UpdateSettings
from schemas.events import Item
from schemas.labels import FEEDBACK_SURFACE, LabeledSlate, Outcome, Session, SessionItem

SHAPE = RankerSettings(width=128, layers=2, length=50)
FADING = replace(SHAPE, layers=0)
"""The same with the session encoder that is the default."""

TINY = RankerSettings(width=16, length=50, text_width=16, hidden=16, items=8_192, users=8_192)
"""Small enough for a million examples in minutes, and tables so small that new ids fill them early on."""

N_ITEMS, N_USERS = 5_000, 3_000
BATCH = 256

RANKING = replace(FADING, ranking=True, items=N_ITEMS + 100, users=N_USERS)
"""Where a log names no slates: the table of users is full from the start on, that of items soon."""


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Text vectors as a full cache gives them: looked up."""
    table = _vectors(SHAPE.text_width)
    return table[[len(text) % len(table) for text in texts]]


def embed_tiny(texts: Sequence[str]) -> NDArray[np.float32]:
    return _vectors(TINY.text_width)[[len(text) % 1_000 for text in texts]]


def embed_of(shape: RankerSettings) -> Embed:
    return embed if shape.text_width == SHAPE.text_width else embed_tiny


@cache
def _vectors(width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(1_000, width)).astype(np.float32)


@cache
def items() -> list[Item]:
    return [
        Item(
            item_id=f"i{n}",
            ts=0,
            title="word " * (n % 90),
            tags=[f"t{n % 40}", f"t{n % 7}"],
            attributes={"author": f"a{n % 900}"},
            duration_ms=1_000.0 + n,
            created_ts=1,
        )
        for n in range(N_ITEMS)
    ]


@cache
def base(shape: RankerSettings = SHAPE) -> Base:
    """A base at birth: a trained one costs the same to adapt."""
    torch.manual_seed(0)
    knowledge = Knowledge(shape, frequent_keys(items()), embed_of(shape))
    knowledge.catalogue.put(items())
    return freeze(Ranker(shape), knowledge, "vectors of the benchmark")


def learner(
    settings: UpdateSettings, shape: RankerSettings = SHAPE, device: torch.device | str = "cpu"
) -> OnlineLearner:
    online = OnlineLearner(base(shape), embed_of(shape), settings, 0, device)
    online.put_items(items())
    return online


def ranking_learner(settings: UpdateSettings) -> OnlineLearner:
    """One that chooses from the whole catalogue, and whose rows of users are all somebody's."""
    online = learner(settings, RANKING)
    for start in range(0, N_USERS + N_USERS // 2, BATCH):
        online.learn([_choice(f"u{n}", f"i{n % N_ITEMS}", n) for n in range(start, start + BATCH)])
    return online


def choices(fresh: float, seed: int = 0) -> Iterator[LabeledSlate]:
    """Likes without a slate, without end, some by users and of items that were never seen before."""
    rng = np.random.default_rng(seed)
    for number in count(1):
        user = f"new{number}" if rng.random() < fresh else f"u{rng.integers(N_USERS)}"
        item = f"new{number}" if rng.random() < fresh else f"i{int(N_ITEMS * rng.random() ** 2)}"
        yield _choice(user, item, 10_000 + number)


def _choice(user: str, item: str, ts: int) -> LabeledSlate:
    recent = [
        SessionItem(item_id=f"i{(ts * 7 + place) % N_ITEMS}", action="like", satisfaction=1.0, age_s=60.0)
        for place in range(20)
    ]
    return LabeledSlate(
        request_id=f"c{ts}",
        revision=0,
        user_id=user,
        ts=ts,
        observed_ts=ts + 1,
        surface=FEEDBACK_SURFACE,
        session=Session(recent=recent),
        slate=[item],
        outcomes=[Outcome(item_id=item, position=0, clicked=True, satisfaction=1.0, final=True)],
    )


def labels(
    outcomes: int, touches: int = SHAPE.length, seed: int = 0, fresh: float = 0.0
) -> Iterator[LabeledSlate]:
    """Final labels without end: so many outcomes each, sessions of so many touches.

    `fresh` is the share of users and items that were never seen before.
    """
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        number += 1
        user = f"new{number}" if rng.random() < fresh else f"u{rng.integers(N_USERS)}"
        seen = rng.integers(N_ITEMS, size=touches + outcomes)
        recent = [
            SessionItem(item_id=f"i{item}", action="click", satisfaction=0.5, age_s=60.0 * (touches - place))
            for place, item in enumerate(seen[:touches])
        ]
        shown = [f"i{item}" for item in seen[touches:]]
        if fresh and rng.random() < fresh:
            shown[0] = f"new{number}"
        yield LabeledSlate(
            request_id=f"r{seed}-{number}",
            revision=0,
            user_id=user,
            ts=number,
            observed_ts=number + 1,
            surface="home",
            session=Session(recent=recent, counters={"impressions": 50.0, "clicks": 9.0, "dwells": 9.0}),
            slate=shown,
            outcomes=[
                Outcome(item_id=item, position=place, clicked=bool(rng.random() < 0.2), final=True)
                for place, item in enumerate(shown)
            ],
        )
