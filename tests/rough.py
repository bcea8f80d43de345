"""Logs in which all goes wrong that may: a second planted world, of disorder rather than of people."""

import random
from collections.abc import Iterable

from schemas.events import UserEvent
from tests.makers import click, dwell, feedback, impression, search

ITEMS, USERS, SURFACES = "abcdef", "uvw", ("home", "search", "")
LONG_MS = 260_000
"""Some come back to a slate after so long."""


def rough_log(slates: int, seed: int, skew_ms: int = 100_000) -> list[UserEvent]:
    """Return events in order of time.

    Slates repeat items, and follow each other on several surfaces. What is done with them comes from well
    before the impression, by `skew_ms`, until long after; by others, too, and with items that were not
    shown. Some feedback names no slate.
    """
    rng, ts, events = random.Random(seed), 10**9, {}
    for number in range(slates):
        ts += rng.randint(1, 15_000)
        for event in _visit(rng, f"r{number}", ts, rng.choice(USERS), skew_ms):
            events.setdefault(event.event_id, event)
    return sorted(events.values(), key=lambda event: (event.ts, event.event_id))


def _visit(rng: random.Random, request_id: str, ts: int, user_id: str, skew_ms: int) -> Iterable[UserEvent]:
    shown = "".join(rng.choices(ITEMS, k=rng.randint(1, 5)))
    query = rng.choice([None, "q"])
    yield impression(request_id, ts, shown, user_id, surface=rng.choice(SURFACES), query=query)
    if rng.random() < 0.2:
        yield search(f"s-{request_id}", ts - 5, user_id)
    if rng.random() < 0.2:
        yield feedback("like", ts + rng.randint(-9_000, 9_000), rng.choice(ITEMS), user_id)
    for _ in range(rng.randint(0, 3)):
        at = ts + rng.choice([rng.randint(-skew_ms, 0), rng.randint(0, 20_000), rng.randint(0, LONG_MS)])
        who = rng.choice([user_id] * 4 + ["x"])
        yield click(request_id, at, rng.choice(ITEMS), who)
        if rng.random() < 0.5:
            yield dwell(
                request_id, at + rng.randint(0, 9_000), rng.randint(1, 30_000), rng.choice(ITEMS), who
            )
        if rng.random() < 0.3:
            kind, item_id = rng.choice(["like", "hide", "rating", "purchase"]), rng.choice(ITEMS)
            yield feedback(kind, at + rng.randint(0, 9_000), item_id, who, request_id=request_id)


def arrivals(events: list[UserEvent], lateness_ms: int, rng: random.Random) -> list[UserEvent]:
    """Return the events as they arrive: each late by up to `lateness_ms`, and some of them twice."""
    late = [
        (event.ts + rng.randint(0, lateness_ms), rng.random(), event)
        for event in events
        for _ in range(rng.choice([1, 1, 1, 2]))
    ]
    return [event for *_, event in sorted(late, key=lambda entry: entry[:2])]
