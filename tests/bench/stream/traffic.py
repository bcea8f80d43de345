"""PURE: the traffic of the benchmark: slates of ten, 1.5 clicks and 1.5 dwells a slate, in time order."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np

SLATE: Final = 10
PER_SLATE: Final = 4
"""Messages a slate on average: itself, 1.5 clicks, 1.5 dwells."""

IMPRESSION, CLICK, DWELL = range(3)
TOPICS: Final = ("impressions", "clicks", "dwells")


class Traffic(NamedTuple):
    """What to send: about `messages` events, at `rate` a second of event time, from `start_ts` (ms) on."""

    messages: int
    rate: float
    start_ts: int
    users: int = 50_000
    items: int = 20_000
    seed: int = 0


class Message(NamedTuple):
    """One event: the number of its topic in `TOPICS`, its user's number, its time (ms) and its JSON."""

    topic: int
    user: int
    ts: int
    value: bytes


def user_id(number: int) -> str:
    """Return the id of a user.

    >>> user_id(7)
    'user-0000007'
    """
    return f"user-{number:07d}"


def messages(traffic: Traffic) -> Iterator[Message]:
    """Yield the events in time order; the same for the same seed.

    >>> made = list(messages(Traffic(4_000, 1_000.0, 0)))
    >>> len(made), sorted({m.topic for m in made}), all(a.ts <= b.ts for a, b in zip(made, made[1:]))
    (3928, [0, 1, 2], True)
    """
    rng = np.random.default_rng(traffic.seed)
    slates = traffic.messages // PER_SLATE
    shown_ts = np.sort(rng.uniform(0, traffic.messages / traffic.rate * 1000, slates)).astype(np.int64)
    users = rng.integers(traffic.users, size=slates)
    items = rng.integers(traffic.items, size=(slates, SLATE))
    clicks = np.repeat(np.arange(slates), rng.integers(4, size=slates))
    places = rng.integers(SLATE, size=clicks.size)
    clicked_ts = shown_ts[clicks] + rng.integers(200, 4_000, size=clicks.size)
    stayed = rng.integers(500, 4_000, size=clicks.size)
    kinds = np.repeat([IMPRESSION, CLICK, DWELL], [slates, clicks.size, clicks.size])
    rows = np.concatenate([np.arange(slates), np.arange(clicks.size), np.arange(clicks.size)])
    times = np.concatenate([shown_ts, clicked_ts, clicked_ts + stayed])
    for index in np.argsort(times, kind="stable"):
        kind, row, ts = int(kinds[index]), int(rows[index]), int(times[index]) + traffic.start_ts
        if kind == IMPRESSION:
            yield _shown(row, int(users[row]), ts, items[row].tolist())
        else:
            slate = int(clicks[row])
            item = int(items[slate, places[row]])
            yield _acted(kind, row, slate, int(users[slate]), ts, item, int(stayed[row]))


def _shown(slate: int, user: int, ts: int, items: list[int]) -> Message:
    record = {
        "event_id": f"i{slate}",
        "request_id": f"request-{slate}",
        "user_id": user_id(user),
        "ts": ts,
        "surface": "home",
        "items": [
            {"item_id": f"item-{item}", "position": place, "propensity": 0.1}
            for place, item in enumerate(items)
        ],
    }
    return Message(IMPRESSION, user, ts, msgspec.json.encode(record))


def _acted(kind: int, row: int, slate: int, user: int, ts: int, item: int, stayed_ms: int) -> Message:
    record: dict[str, object] = {
        "event_id": f"{'cd'[kind - 1]}{row}",
        "request_id": f"request-{slate}",
        "user_id": user_id(user),
        "item_id": f"item-{item}",
        "ts": ts,
    }
    if kind == DWELL:
        record["dwell_ms"] = stayed_ms
    return Message(kind, user, ts, msgspec.json.encode(record))
