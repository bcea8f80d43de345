"""A planted world: every user likes one kind of item, and clicks accordingly. The truth is known, so a
learner has something to find, and a test a floor to assert.

Slates are drawn at random and clicks do not depend on positions. Records come in event-time order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.events import Click, Dwell, Feedback, Impression, Item, Search, ShownItem, UserEvent

START_TS = 1_700_000_000_000
VOCABULARY = {
    "jazz": ("saxophone", "trumpet", "swing", "improvisation", "quartet"),
    "cooking": ("recipe", "oven", "sauce", "pasta", "baking"),
    "chess": ("opening", "checkmate", "grandmaster", "endgame", "gambit"),
    "football": ("goal", "penalty", "midfield", "league", "striker"),
    "astronomy": ("telescope", "galaxy", "comet", "orbit", "nebula"),
    "gardening": ("seedling", "compost", "pruning", "tulip", "greenhouse"),
}
KINDS = tuple(VOCABULARY)


@dataclass(frozen=True, slots=True)
class World:
    """Items, the kind of each, and what each user likes."""

    items: list[Item]
    kind_of: dict[str, str]
    likes: dict[str, str]

    def of_kind(self, kind: str) -> list[str]:
        """Ids of the items of a kind, in order."""
        return [item_id for item_id, of in self.kind_of.items() if of == kind]


@dataclass(frozen=True, slots=True)
class Habits:
    """How users of a world behave; times are means in ms."""

    click_liked: float = 0.6
    click_other: float = 0.05
    like_after_click: float = 0.1
    search: float = 0.1
    click_delay: float = 5_000
    dwell_liked: float = 15_000
    dwell_other: float = 2_000
    between_slates: float = 2_000
    """Between two slates of the whole world, not of one user."""


DEFAULT = Habits()


def world(n_users: int, n_items: int, kinds: Sequence[str] = KINDS[:4], seed: int = 0) -> World:
    """Plant a world: users and items take turns through the kinds; titles are words of the kind."""
    rng = np.random.default_rng(seed)
    items = [_item(rng, number, kinds[number % len(kinds)]) for number in range(n_items)]
    return World(
        items=items,
        kind_of={item.item_id: item.tags[0] for item in items},
        likes={f"user-{number}": kinds[number % len(kinds)] for number in range(n_users)},
    )


def log(
    world: World, n_slates: int, slate_size: int, seed: int = 0, habits: Habits = DEFAULT
) -> list[UserEvent]:
    """What the world's users see and do in `n_slates` slates, in event-time order."""
    rng = np.random.default_rng(seed)
    users, ts, events = list(world.likes), START_TS, []
    for number in range(n_slates):
        ts += 1 + int(rng.exponential(habits.between_slates))
        events.extend(
            _visit(world, habits, rng, users[rng.integers(len(users))], f"{seed}-{number}", ts, slate_size)
        )
    return sorted(events, key=lambda event: event.ts)


def topic_of(event: UserEvent) -> str:
    """The topic that a user event belongs to."""
    return _TOPICS[type(event)]


_TOPICS = {
    Impression: "impressions",
    Click: "clicks",
    Dwell: "dwells",
    Feedback: "feedback",
    Search: "searches",
}


def _item(rng: np.random.Generator, number: int, kind: str) -> Item:
    words = rng.choice(VOCABULARY[kind], 3, replace=False)
    return Item(
        item_id=f"item-{number}",
        ts=START_TS,
        title=f"{kind}: {' '.join(words)}",
        tags=[kind],
        duration_ms=float(rng.integers(5_000, 60_000)),
        created_ts=START_TS,
    )


def _visit(
    world: World, habits: Habits, rng: np.random.Generator, user_id: str, visit: str, ts: int, slate_size: int
) -> Iterator[UserEvent]:
    """One slate and what follows from it."""
    if rng.random() < habits.search:
        query = world.likes[user_id]
        yield Search(event_id=f"s-{visit}", user_id=user_id, ts=max(START_TS, ts - 1_000), query=query)
    shown = [world.items[index].item_id for index in rng.choice(len(world.items), slate_size, replace=False)]
    yield Impression(
        event_id=f"i-{visit}",
        request_id=f"r-{visit}",
        user_id=user_id,
        ts=ts,
        surface="home",
        items=[ShownItem(item_id=item_id, position=place) for place, item_id in enumerate(shown)],
    )
    for item_id in shown:
        liked = world.kind_of[item_id] == world.likes[user_id]
        if rng.random() < (habits.click_liked if liked else habits.click_other):
            yield from _click(habits, rng, user_id, visit, item_id, ts, liked)


def _click(
    habits: Habits, rng: np.random.Generator, user_id: str, visit: str, item_id: str, ts: int, liked: bool
) -> Iterator[UserEvent]:
    clicked_ts = ts + 1 + int(rng.exponential(habits.click_delay))
    dwell_ms = float(rng.exponential(habits.dwell_liked if liked else habits.dwell_other))
    left_ts = clicked_ts + 1 + int(dwell_ms)
    of = {"request_id": f"r-{visit}", "user_id": user_id, "item_id": item_id}
    yield Click(event_id=f"c-{visit}-{item_id}", ts=clicked_ts, **of)
    yield Dwell(event_id=f"d-{visit}-{item_id}", ts=left_ts, dwell_ms=dwell_ms, **of)
    if liked and rng.random() < habits.like_after_click:
        yield Feedback(event_id=f"f-{visit}-{item_id}", ts=left_ts + 1, kind="like", **of)
