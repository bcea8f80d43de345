"""A planted attack: of a world's users one in twenty is a robot, and all robots push one item.

Honest users behave as `tests.synthetic` says. From a moment on, the robots, new accounts, see slates that
have the item (they search for it), `PACE` times as often as honest users see any, and click it, after as long
as a person takes or, hasty ones, at once; camouflaged ones also click what they would like, were they people.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from schemas.events import Click, Dwell, Impression, ShownItem, UserEvent
from schemas.labels import LabeledSlate
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings, Rules
from stream.offline import label
from tests.synthetic import Habits, World, log, world

SHARE = 0.05
PACE = 3.0
SLATE = 6
BETWEEN_MS = 6_000
QUIET = 0.3
"""So much of the log is before the attack."""

KINDS = ("devoted", "camouflaged", "hasty")


@dataclass(frozen=True)
class Attack:
    """A world, what happens in it with and without the robots, and what they push."""

    world: World
    target: str
    honest: list[UserEvent]
    robots: list[UserEvent]

    @property
    def attacked(self) -> list[UserEvent]:
        """All that happens, in event-time order."""
        return sorted([*self.honest, *self.robots], key=lambda event: event.ts)


def attack(kind: str, n_slates: int, seed: int, n_users: int = 200, n_items: int = 60) -> Attack:
    """Plant an attack of a kind; `n_users` are honest."""
    planted = world(n_users=n_users, n_items=n_items)
    honest = log(planted, n_slates, SLATE, seed, Habits(between_slates=BETWEEN_MS))
    target = planted.items[-1].item_id
    rng = np.random.default_rng([seed, 1])
    start, end = honest[0].ts, honest[-1].ts
    robots: list[UserEvent] = []
    n_robots = round(n_users * SHARE / (1 - SHARE))
    between_ms = BETWEEN_MS * n_users / n_robots / PACE
    ts, number = start + QUIET * (end - start), 0
    while ts < end:
        robots += _visit(planted, kind, target, f"robot-{rng.integers(n_robots)}", number, int(ts), rng)
        ts, number = ts + rng.exponential(between_ms), number + 1
    return Attack(planted, target, honest, robots)


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
    refinements = Rules().refinements - {"trust"} | ({"trust"} if trust else set())
    settings = JoinSettings(window_ms=60_000, lateness_ms=1_000, rules=Rules(refinements=refinements))
    durations = {item.item_id: item.duration_ms for item in attacked.world.items}
    return list(label(events, PartitionFold(settings, {}, durations.get), every=50))


def click_rate(told: list[LabeledSlate], item_id: str) -> float:
    """The click rate of an item, each outcome as far as trusted."""
    outcomes = [o for one in told for o in one.outcomes if o.final and o.item_id == item_id]
    weights = [outcome.weight * outcome.trust for outcome in outcomes]
    return sum(w * o.clicked for w, o in zip(weights, outcomes, strict=True)) / sum(weights)


def trust_of(told: list[LabeledSlate], who: str) -> list[float]:
    """The trust in the final outcomes of all users whose name begins so, in order of time."""
    return [o.trust for one in told if one.user_id.startswith(who) for o in one.outcomes if o.final]
