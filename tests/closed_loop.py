"""The loop closed over a planted world (P6): the product ranks, users answer, the product learns of it.

Labels are made by the live path's fold, learned by the live learner, and reach the live scorer as
checkpoints, verified and applied, at the multiples of the publish interval. Training goes on all the time
whatever the interval; sessions are read when a slate is asked for. Nothing here shows a learner what the
world hides.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from learner.backfill import train_base
from learner.base import Base
from learner.fitting import BackfillSettings
from learner.online import OnlineLearner
from learner.query import Query, utility
from learner.ranker import RankerSettings
from learner.scorer import Scorer
from learner.update_settings import UpdateSettings
from schemas.events import Click, Impression, Item, UserEvent
from schemas.labels import LabeledSlate, Session
from schemas.recommendation import RecommendationRequest
from stream.exploration import EpsilonGreedy
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings
from stream.offline import NO_CLOCK, TOPICS, release
from stream.ranking import eligible, recommend
from stream.settings import Settings
from tests.closed_loop_world import LOOKED_AT, SURFACE, Laws, Visit, World, impression
from tests.drafts import manifest_of
from tests.synthetic import START_TS

TICK_MS = 1_000
"""The shortest publish interval. What happened before a tick is known to all that is asked within it."""

JOIN = JoinSettings(window_ms=60_000, lateness_ms=1_000)
SHAPE = RankerSettings(
    width=32, text_width=16, hidden=32, items=8_192, users=2_048, attributes=4_096, contexts=16
)
WORTH = Settings().worth
WARM_UP = 1_000
"""Seed of the world whose log trains the base: no other world has its stories."""


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Each text as the mean of its words' vectors, which are random but always the same."""
    found = [np.mean([_word(word) for word in text.split()], axis=0) for text in texts]
    return np.array(found, np.float32).reshape(-1, SHAPE.text_width)


@cache
def _word(word: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).normal(size=SHAPE.text_width)


@dataclass(frozen=True, slots=True)
class Served:
    """One slate that a person was shown. `expected` clicks of it, and of the `best` that could be shown."""

    user: int
    ts: int
    since_turn_s: float
    clicks: int
    expected: float
    best: float
    items: tuple[str, ...]


Rank = Callable[[Sequence[Query]], list[NDArray[np.float32]]]
"""Queries → the utility of each one's candidates."""


class Loop:
    """A world, and the fold of what happens in it, one tick after the other."""

    def __init__(self, world: World, shelve: Callable[[list[Item], list[str]], None]) -> None:
        """`shelve` is told of items that come and of those that go."""
        self.world = world
        self.served: list[Served] = []
        self._shelve = shelve
        self._durations: dict[str, float] = {}
        self._fold: PartitionFold[None] = PartitionFold(JOIN, {}, self._durations.get)
        self._coming: list[tuple[int, str, UserEvent]] = []
        self._on_show: dict[str, float] = {}  # and until when, in seconds
        self._shelves = sorted(world.shelves, key=lambda shelf: shelf.starts, reverse=True)
        self._visits = world.visits[::-1]

    def happen(self, until_ts: int) -> list[LabeledSlate]:
        """Let everything before a moment have happened; returns the labels that it made known."""
        self._change_items(until_ts)
        labels = []
        while self._coming and self._coming[0][0] < until_ts:
            event = heappop(self._coming)[2]
            labels += self._fold.fold(event, TOPICS[type(event)], None, NO_CLOCK)
        labels += self._fold.advance(NO_CLOCK)
        release(self._fold)
        return labels

    def show(self, now: int, rank: Rank) -> None:
        """Answer who asks within the tick that begins now, and let them react."""
        asked = []
        while self._visits and self._visits[-1].ts < now + TICK_MS:
            visit = self._visits.pop()
            session = self._fold.session_of(f"u{visit.user}", now)
            pool = eligible(_request(visit), self._on_show, session)
            asked.append((visit, _query(visit, session, pool)))
        for (visit, query), worth in zip(asked, rank([query for _, query in asked]), strict=True):
            chance = np.random.default_rng([visit.number, self.world.seed])
            answer = recommend(_request(visit), query.candidates, worth, EpsilonGreedy(), chance, None)
            self._react(visit, impression(visit, answer), query.candidates)

    def _react(self, visit: Visit, shown: Impression, pool: Sequence[str]) -> None:
        reactions = list(self.world.react(visit, shown))
        for event in (shown, *reactions):
            heappush(self._coming, (event.ts, event.event_id, event))
        if not self.world.is_robot(visit.user):
            self.served.append(self._note(visit, shown, pool, reactions))

    def _note(
        self, visit: Visit, shown: Impression, pool: Sequence[str], reactions: Sequence[UserEvent]
    ) -> Served:
        item_ids = tuple(item.item_id for item in shown.items)
        best = np.sort(self.world.chances(visit, pool))[: -len(LOOKED_AT) - 1 : -1]
        return Served(
            user=visit.user,
            ts=visit.ts,
            since_turn_s=self.world.since_turn_s(visit),
            clicks=sum(isinstance(event, Click) for event in reactions),
            expected=float(self.world.chances(visit, item_ids) @ LOOKED_AT[: len(item_ids)]),
            best=float(best @ LOOKED_AT[: len(best)]),
            items=item_ids,
        )

    def _change_items(self, now: int) -> None:
        at, new = (now - START_TS) / 1_000, list[Item]()
        gone = [item_id for item_id, ends in self._on_show.items() if ends <= at]
        for item_id in gone:
            del self._on_show[item_id]
        while self._shelves and self._shelves[-1].starts <= at:
            shelf = self._shelves.pop()
            new += shelf.items
            self._on_show |= dict.fromkeys((item.item_id for item in shelf.items), shelf.ends)
        self._durations |= {item.item_id: item.duration_ms or 0.0 for item in new}
        self._shelve(new, gone)


def play(world: World, base: Base, publish_s: int | None, seed: int) -> list[Served]:
    """Let the product run in a world, publishing every so many seconds; None: the base answers throughout."""
    learner, scorer = OnlineLearner(base, embed, UpdateSettings(), seed), Scorer(base, embed)

    def shelve(new: list[Item], gone: list[str]) -> None:
        for one in (learner, scorer):
            one.put_items(new)
            for item_id in gone:
                one.remove_item(item_id)

    def rank(queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        return [utility(found, WORTH) for found in scorer.score(queries)]

    loop = Loop(world, shelve)
    for tick in range(world.laws.duration_s):
        labels = loop.happen(START_TS + tick * TICK_MS)
        if publish_s is not None:
            learner.learn(labels)
            if tick and tick % publish_s == 0:
                draft = learner.checkpoint()
                scorer.apply(manifest_of(draft), draft.payload)
        loop.show(START_TS + tick * TICK_MS, rank)
    return loop.served


def trained(duration_s: int, epochs: int = 2) -> Base:
    """A base from the log of a world of its own, in which slates were drawn at random."""
    world = World(Laws(duration_s=duration_s), WARM_UP)
    items: list[Item] = []
    loop = Loop(world, lambda new, _gone: items.extend(new))
    rng = np.random.default_rng(WARM_UP)
    labels: list[LabeledSlate] = []
    for tick in range(duration_s):
        now = START_TS + tick * TICK_MS
        labels += loop.happen(now)
        loop.show(now, lambda queries: [rng.random(len(q.candidates), np.float32) for q in queries])
    return train_base(items, labels, embed, "words", SHAPE, BackfillSettings(epochs=epochs)).base


def _request(visit: Visit) -> RecommendationRequest:
    return RecommendationRequest(
        request_id=f"r{visit.number}",
        user_id=f"u{visit.user}",
        ts=visit.ts,
        k=len(LOOKED_AT),
        surface=SURFACE,
    )


def _query(visit: Visit, session: Session, pool: Sequence[str]) -> Query:
    return Query(user_id=f"u{visit.user}", session=session, ts=visit.ts, candidates=pool, surface=SURFACE)
