"""A planted world that answers what it is shown (P6): what is hidden of it, and how its users react.

In each kind of item a few stories run at a time, of some items each; after some minutes new ones take their
place, and so does what everybody wants of the kind. How much a story and an item are liked is written
nowhere: neither text nor tags tell. Users come for a session of tens of slates, on one kind at a time that
they change now and then; they look at upper positions more than at lower ones, click what they look at as
they like it, some seconds later, and stay with it. A few are robots that click at random.

All chance of a slate is drawn for it alone: the same seed gives the same visits, stories and dice to whoever
fills the slates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.events import Click, Dwell, Impression, Item, ShownItem, UserEvent
from schemas.recommendation import Recommendation
from tests.synthetic import KINDS, START_TS, VOCABULARY

SURFACE = "home"
LOOKED_AT = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42)
"""Share of the users that look at each position: as many as a slate has."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Laws:
    """How the world behaves; times in seconds, appeals in log-odds of a click by who looks."""

    users: int = 300
    robots: float = 0.05
    duration_s: int = 4_500
    stories: int = 4
    items_per_story: int = 6
    turn_s: float = 300.0
    between_s: float = 8.0
    slates: float = 30.0
    away_s: float = 4_200.0
    stays: float = 15.0
    """Slates until a user changes to another kind, in the mean."""
    bias: float = -2.4
    of_interest: float = 1.6
    story_spread: float = 1.4
    item_spread: float = 0.7
    delay_s: float = 3.0
    robot_clicks: float = 0.5


@dataclass(frozen=True, slots=True)
class Visit:
    """A user asks for a slate, and is on a kind just now."""

    number: int
    ts: int
    user: int
    kind: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """What can be shown of a kind from `starts` to `ends` (seconds), and what is hidden: its appeal."""

    kind: int
    starts: float
    ends: float
    items: list[Item]
    appeal: Floats


class World:
    """The laws, played out by one seed."""

    def __init__(self, laws: Laws, seed: int) -> None:
        self.laws, self.seed = laws, seed
        rng = np.random.default_rng([seed, 0])
        self.shelves = [shelf for kind in range(len(KINDS)) for shelf in _shelves(laws, kind, seed, rng)]
        self.appeal = {
            item.item_id: float(appeal)
            for shelf in self.shelves
            for item, appeal in zip(shelf.items, shelf.appeal, strict=True)
        }
        self.kind_of = {item.item_id: shelf.kind for shelf in self.shelves for item in shelf.items}
        self.turns = [
            [shelf.starts for shelf in self.shelves if shelf.kind == kind] for kind in range(len(KINDS))
        ]

    @cached_property
    def visits(self) -> list[Visit]:
        """Who asks when, in order of time."""
        rng = np.random.default_rng([self.seed, 1])
        found = [one for user in range(self.laws.users) for one in _visits(self.laws, user, rng)]
        return [Visit(number, *one) for number, one in enumerate(sorted(found))]

    def is_robot(self, user: int) -> bool:
        """Whether a user is a machine."""
        return user >= round((1 - self.laws.robots) * self.laws.users)

    def chances(self, visit: Visit, item_ids: Sequence[str]) -> Floats:
        """How likely this user, on looking at each item, clicks it."""
        fits = np.array([self.kind_of[item_id] == visit.kind for item_id in item_ids])
        appeal = np.array([self.appeal[item_id] for item_id in item_ids])
        return 1 / (1 + np.exp(-(self.laws.bias + self.laws.of_interest * fits + appeal)))

    def since_turn_s(self, visit: Visit) -> float:
        """How long ago what is wanted of the visit's kind has changed."""
        now = (visit.ts - START_TS) / 1_000
        return now - max(start for start in self.turns[visit.kind] if start <= now)

    def react(self, visit: Visit, shown: Impression) -> Iterator[UserEvent]:
        """What follows from showing a slate: clicks, and stays with what was clicked."""
        dice = np.random.default_rng([self.seed, 2, visit.number]).random((len(LOOKED_AT), 4))
        item_ids = [item.item_id for item in shown.items]
        likes = self.chances(visit, item_ids)
        clicks = likes * LOOKED_AT[: len(item_ids)]
        if self.is_robot(visit.user):
            clicks = np.full(len(item_ids), self.laws.robot_clicks)
        for item_id, liked, chance, die in zip(item_ids, likes, clicks, dice, strict=False):
            if die[0] < chance:
                yield from self._open(visit, shown, item_id, float(liked), *die[1:])

    def _open(
        self,
        visit: Visit,
        shown: Impression,
        item_id: str,
        liked: float,
        when: float,
        slow: float,
        stay: float,
    ) -> Iterator[UserEvent]:
        """A click, one in ten of them late, and a stay, the longer the better it is liked."""
        delay_s = -np.log1p(-when) * self.laws.delay_s * (10 if slow < 0.1 else 1)
        dwell_ms = 500 + 4_000 * liked * (0.5 + stay)
        ts = visit.ts + 500 + int(1_000 * delay_s)
        of = {"request_id": shown.request_id, "user_id": shown.user_id, "item_id": item_id}
        name = f"{shown.request_id}-{item_id}"
        yield Click(event_id=f"c-{name}", ts=ts, **of)
        yield Dwell(event_id=f"d-{name}", ts=ts + int(dwell_ms), dwell_ms=dwell_ms, **of)


def impression(visit: Visit, answer: Recommendation) -> Impression:
    """The event that an answer was shown."""
    return Impression(
        event_id=f"i-{answer.request_id}",
        request_id=answer.request_id,
        user_id=answer.user_id,
        ts=visit.ts,
        surface=SURFACE,
        items=[
            ShownItem(item_id=item.item_id, position=item.position, propensity=item.propensity)
            for item in answer.items
        ],
    )


def _shelves(laws: Laws, kind: int, seed: int, rng: np.random.Generator) -> Iterator[Shelf]:
    """One after the other until the end; the first has been there for a while."""
    starts = -float(rng.uniform(0, laws.turn_s))
    number = 0
    while starts < laws.duration_s:
        ends = starts + laws.turn_s * float(rng.uniform(0.7, 1.3))
        yield _shelf(laws, kind, f"{seed}-{kind}-{number}", starts, ends, rng)
        starts, number = ends, number + 1


def _shelf(laws: Laws, kind: int, name: str, starts: float, ends: float, rng: np.random.Generator) -> Shelf:
    stories = rng.normal(0, laws.story_spread, laws.stories)
    appeal = np.repeat(stories, laws.items_per_story)
    appeal = appeal + rng.normal(0, laws.item_spread, len(appeal))
    created = START_TS + int(1_000 * starts)
    items = [
        Item(
            item_id=f"{name}-{n}",
            ts=created,
            title=f"{KINDS[kind]}: {' '.join(rng.choice(VOCABULARY[KINDS[kind]], 3, replace=False))}",
            tags=[KINDS[kind]],
            attributes={"story": f"{name}-{n // laws.items_per_story}"},
            duration_ms=float(rng.integers(2_000, 5_000)),
            created_ts=created,
        )
        for n in range(len(appeal))
    ]
    return Shelf(kind, starts, ends, items, appeal)


def _visits(laws: Laws, user: int, rng: np.random.Generator) -> Iterator[tuple[int, int, int]]:
    """The visits of one user as (ts, user, kind): sessions, and long pauses."""
    at = float(rng.exponential(laws.away_s)) if rng.random() < 0.9 else 0.0
    kind = int(rng.integers(len(KINDS)))
    while True:
        for _ in range(1 + rng.geometric(1 / laws.slates)):
            if at >= laws.duration_s:
                return
            yield START_TS + int(1_000 * at), user, kind
            at += 2 + float(rng.exponential(laws.between_s - 2))
            if rng.random() < 1 / laws.stays:
                kind = int(rng.integers(len(KINDS)))
        at += float(rng.exponential(laws.away_s))
