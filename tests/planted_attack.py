"""A planted attack: of a world's users one in twenty is a robot, and all robots push one item.

Honest users behave as `tests.synthetic` says, but items differ in how appealing they are: of the clicks that
an item would get it gets so many. The item pushed appeals little. From a moment on, the robots, new accounts,
see slates that have it (they search for it), `PACE` times as often as honest users see any, and click it,
after as long as a person takes or, hasty ones, at once; camouflaged ones also click what they would like,
were they people.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.events import Click, Dwell, Feedback, Impression, ShownItem, UserEvent
from schemas.labels import LabeledSlate
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings, Rules
from stream.offline import label
from tests.synthetic import Habits, World, log, world

SHARE = 0.05
PACE = 3.0
SLATE = 6
BETWEEN_MS = 6_000
QUIET = 0.5
"""So much of the log is before the attack."""

LEAST = 0.15
"""The appeal of the least appealing item; the others' are evenly spaced from it to 1."""

TARGET = 0.1
"""The item that is pushed appeals more than so many of the others."""

KINDS = ("devoted", "camouflaged", "hasty")


@dataclass(frozen=True)
class Attack:
    """A world, what happens in it with and without the robots, what they push, and from when on."""

    world: World
    target: str
    turn_ts: int
    honest: list[UserEvent]
    robots: list[UserEvent]

    @property
    def attacked(self) -> list[UserEvent]:
        """All that happens, in event-time order."""
        return sorted([*self.honest, *self.robots], key=lambda event: event.ts)


def attack(kind: str, n_slates: int, seed: int, n_users: int = 200, n_items: int = 60) -> Attack:
    """Plant an attack of a kind; `n_users` are honest."""
    planted = world(n_users=n_users, n_items=n_items)
    appeal = _appeals(planted, np.random.default_rng([seed, 2]))
    target = sorted(appeal, key=appeal.__getitem__)[int(TARGET * n_items)]
    everything = log(planted, n_slates, SLATE, seed, Habits(between_slates=BETWEEN_MS))
    honest = _thinned(everything, appeal, np.random.default_rng([seed, 3]))
    rng = np.random.default_rng([seed, 1])
    start, end = honest[0].ts, honest[-1].ts
    turn_ts = start + int(QUIET * (end - start))
    robots: list[UserEvent] = []
    n_robots = round(n_users * SHARE / (1 - SHARE))
    between_ms = BETWEEN_MS * n_users / n_robots / PACE
    ts, number = float(turn_ts), 0
    while ts < end:
        robots += _visit(planted, kind, target, f"robot-{rng.integers(n_robots)}", number, int(ts), rng)
        ts, number = ts + rng.exponential(between_ms), number + 1
    return Attack(planted, target, turn_ts, honest, robots)


def _appeals(planted: World, rng: np.random.Generator) -> dict[str, float]:
    n = len(planted.items)
    return {
        item.item_id: float(appeal)
        for item, appeal in zip(planted.items, rng.permutation(np.linspace(LEAST, 1, n)), strict=True)
    }


def _thinned(events: list[UserEvent], appeal: dict[str, float], rng: np.random.Generator) -> list[UserEvent]:
    """Leave out clicks, by the items' appeal, and what follows from them."""
    gone = {
        (event.request_id, event.item_id)
        for event in events
        if isinstance(event, Click) and rng.random() >= appeal[event.item_id]
    }
    return [
        event
        for event in events
        if not (isinstance(event, Click | Dwell | Feedback) and (event.request_id, event.item_id) in gone)
    ]


def _visit(
    planted: World, kind: str, target: str, user_id: str, number: int, ts: int, rng: np.random.Generator
) -> Iterable[UserEvent]:
    others = [item.item_id for item in planted.items if item.item_id != target]
    shown = rng.permutation([target, *rng.choice(others, SLATE - 1, replace=False)]).tolist()
    of = {"request_id": f"robot-{number}", "user_id": user_id}
    items = [ShownItem(item_id=item_id, position=place) for place, item_id in enumerate(shown)]
    yield Impression(event_id=f"robot-{number}-i", ts=ts, surface="home", items=items, **of)
    taste = planted.items[int(user_id.removeprefix("robot-")) % len(planted.items)].tags[0]
    for item_id in shown:
        likes = kind == "camouflaged" and planted.kind_of[item_id] == taste and rng.random() < 0.6
        if item_id != target and not likes:
            continue
        clicked_ts = ts + (20 if kind == "hasty" else 1_000 + int(rng.exponential(5_000)))
        dwell_ms = float(rng.exponential(15_000))
        event_id = f"robot-{number}-{item_id}"
        yield Click(event_id=f"{event_id}-c", item_id=item_id, ts=clicked_ts, **of)
        yield Dwell(
            event_id=f"{event_id}-d", item_id=item_id, ts=clicked_ts + int(dwell_ms), dwell_ms=dwell_ms, **of
        )


def labels(attacked: Attack, events: list[UserEvent], *, trust: bool) -> list[LabeledSlate]:
    """Label by the product's own fold, with a window of a minute."""
    return list(label(events, partition(attacked, trust=trust), every=50))


def partition(attacked: Attack, *, trust: bool) -> PartitionFold[Any]:
    """The product's own fold, with a window of a minute."""
    refinements = Rules().refinements - {"trust"} | ({"trust"} if trust else set())
    settings = JoinSettings(window_ms=60_000, lateness_ms=1_000, rules=Rules(refinements=refinements))
    durations = {item.item_id: item.duration_ms for item in attacked.world.items}
    return PartitionFold(settings, {}, durations.get)


def click_rates(told: list[LabeledSlate]) -> dict[str, float]:
    """The click rate of every item, each exposure as it was told of last, and as far as trusted."""
    newest = sorted(told, key=lambda one: one.revision)
    last = {(one.request_id, outcome.item_id): outcome for one in newest for outcome in one.outcomes}
    clicked, shown = defaultdict[str, float](float), defaultdict[str, float](float)
    for outcome in last.values():
        weight = outcome.weight * outcome.trust
        shown[outcome.item_id] += weight
        clicked[outcome.item_id] += weight * outcome.clicked
    return {item_id: clicked[item_id] / weight for item_id, weight in shown.items() if weight}


def place(rates: Mapping[str, float], item_id: str) -> int:
    """The place of an item in a list by click rate, 0 the best."""
    return sum(rate > rates[item_id] for rate in rates.values())


def trust_of(told: list[LabeledSlate], who: str) -> list[float]:
    """The trust in what all users whose name begins so did, as their slates ended, in order of time."""
    return [
        o.trust
        for one in told
        if one.user_id.startswith(who) and one.revision == 2 * len(one.slate)
        for o in one.outcomes
    ]
