"""P7: how far robots move the item that they push, in honest users' lists, with and without trust.

    python -m tests.bench.attack [--slates 4000] [--seeds 2] [--out build]
    → a table, bench-attack.json with every run, bench-attack.png

The product's own labels and online learner, over a base trained on what was before the attack. Four streams
of labels, of the same events but for the robots': with and without these, with and without trust; base, seeds
and the moments at which the item's rank is looked at are common to all. Rank is the item's place among all by
predicted clicks, 0 the best, the mean over honest users, each asked for with the session that they have then.
The robots' effect is what they change: with trust against trust without robots, and without, likewise.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from learner.backfill import train_base
from learner.base import Base
from learner.fitting import BackfillSettings
from learner.learned_arms import AdaLora
from learner.query import Query
from learner.ranker import RankerSettings
from schemas.labels import LabeledSlate, Session
from tests.bench.report import machine
from tests.planted_attack import KINDS, Attack, attack, labels, trust_of
from tests.tiny import embed

mpl.use("Agg")
from matplotlib import pyplot as plt

ARMS = ("no robots", "no robots, trust", "robots", "robots, trust")
SHAPE = RankerSettings(width=16, text_width=8, hidden=16, items=128, users=512, attributes=64, contexts=8)
BASE = BackfillSettings(batch=32)
STEP = 64
"""Labels of a step of the learner."""

USERS = 60
LOOKS = 8
"""How many times the rank is drawn; its last quarter is what an arm is judged by."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attack: mean ranks of the item over time by arm, and the trust in people and robots."""

    kind: str
    seed: int
    before: float
    ranks: dict[str, list[float]]
    people: list[float]
    robots: list[float]

    @property
    def moved(self) -> dict[str, float]:
        """By how many places the robots moved the item up, at the end, without and with trust."""
        last = {arm: mean(ranks[-(LOOKS // 4) :]) for arm, ranks in self.ranks.items()}
        return {"without": last[ARMS[0]] - last[ARMS[2]], "with": last[ARMS[1]] - last[ARMS[3]]}


@dataclass(frozen=True)
class Stage:
    """A world before the attack: the base, and what honest users do, labelled without and with trust."""

    base: Base
    sessions: list[dict[str, Session]]
    seed: int
    quiet: dict[str, list[float]]
    before: float


def stage(slates: int, seed: int) -> Stage:
    """Train the base, and learn the stream without robots."""
    planted = attack(KINDS[0], slates, seed)
    told = {ARMS[n]: labels(planted, planted.honest, trust=bool(n)) for n in (0, 1)}
    past = [one for one in told[ARMS[0]] if one.observed_ts < planted.turn_ts]
    base = train_base(planted.world.items, past, embed, "planted", SHAPE, BASE).base
    sessions = [known(told[ARMS[0]], ts) for ts in looks(planted)]
    newborn, at = AdaLora(base, planted.world.items, embed, seed), planted.turn_ts
    before = rank(newborn, planted, known(past, at), at)
    quiet = {arm: learn(base, planted, one, sessions, seed) for arm, one in told.items()}
    return Stage(base, sessions, seed, quiet, before)


def run(kind: str, slates: int, on: Stage) -> Run:
    """Label the attack without and with trust, and learn it."""
    planted = attack(kind, slates, on.seed)
    told = {ARMS[2 + n]: labels(planted, planted.attacked, trust=bool(n)) for n in (0, 1)}
    ranks = {arm: learn(on.base, planted, one, on.sessions, on.seed) for arm, one in told.items()}
    people, robots = (histogram(trust_of(told[ARMS[3]], who)) for who in ("user", "robot"))
    return Run(
        kind=kind, seed=on.seed, before=on.before, ranks=on.quiet | ranks, people=people, robots=robots
    )


def looks(planted: Attack) -> list[int]:
    """The moments at which ranks are drawn."""
    end_ts = planted.honest[-1].ts
    return np.linspace(planted.turn_ts, end_ts, LOOKS + 1).astype(int)[1:].tolist()


def known(told: list[LabeledSlate], ts: int) -> dict[str, Session]:
    """The last session of every user before a moment."""
    return {one.user_id: one.session for one in told if one.observed_ts < ts}


def histogram(trust: list[float]) -> list[float]:
    """Shares of ten equal bins."""
    counts, _ = np.histogram(trust, bins=10, range=(0, 1))
    return (counts / max(1, counts.sum())).tolist()


def learn(
    base: Base, planted: Attack, told: list[LabeledSlate], sessions: list[dict[str, Session]], seed: int
) -> list[float]:
    """Learn in order of observation, and look at the item's rank from time to time."""
    arm = AdaLora(base, planted.world.items, embed, seed)
    ranks, from_ts = [], planted.turn_ts
    for until_ts, seen in zip(looks(planted), sessions, strict=True):
        part = [one for one in told if from_ts <= one.observed_ts < until_ts]
        for start in range(0, len(part), STEP):
            arm.learn(part[start : start + STEP])
        ranks.append(rank(arm, planted, seen, until_ts))
        from_ts = until_ts
    return ranks


def rank(arm: AdaLora, planted: Attack, sessions: dict[str, Session], ts: int) -> float:
    """The mean place of the item in the lists of honest users."""
    items = [item.item_id for item in planted.world.items]
    queries = [
        Query(user_id=user_id, session=sessions[user_id], ts=ts, surface="home", candidates=items)
        for user_id in [user_id for user_id in planted.world.likes if user_id in sessions][:USERS]
    ]
    at = items.index(planted.target)
    return mean(float((one[:, 0] > one[at, 0]).sum()) for one in arm.score(queries))


def draw(found: list[Run], path: Path) -> None:
    """Draw the rank over time by arm, a panel a kind of attack."""
    figure, panels = plt.subplots(1, len(KINDS), figsize=(12, 4), sharey=True, squeeze=False)
    for panel, kind in zip(panels[0], KINDS, strict=True):
        for arm in ARMS:
            over = np.mean([one.ranks[arm] for one in found if one.kind == kind], axis=0)
            panel.plot(np.arange(1, LOOKS + 1) / LOOKS, over, marker="o", label=arm)
        panel.set(title=f"{kind} robots", xlabel="share of the attack")
    panels[0][0].set_ylabel("rank of the pushed item, 0 the best")
    panels[0][0].invert_yaxis()
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def left(found: list[Run]) -> dict[str, float]:
    """The part of the places moved, up or down, that trust leaves, in the mean by kind and of all."""
    of = {kind: [one for one in found if one.kind == kind] for kind in KINDS} | {"all": found}
    return {
        name: mean(abs(one.moved["with"]) for one in some) / mean(one.moved["without"] for one in some)
        for name, some in of.items()
    }


def show(found: list[Run]) -> None:
    """Print one row a run, and what is left."""
    table = Table("kind", "seed", "before", *ARMS, "moved without / with", "people below ½ %", title="P7")
    for one in found:
        last = (f"{mean(one.ranks[arm][-(LOOKS // 4) :]):.1f}" for arm in ARMS)
        moves = " / ".join(f"{move:.1f}" for move in one.moved.values())
        below = f"{100 * sum(one.people[:5]):.2f}"
        table.add_row(one.kind, str(one.seed), f"{one.before:.1f}", *last, moves, below)
    console = Console(width=140)
    console.print(table)
    console.print("left:", ", ".join(f"{name} {100 * share:.1f} %" for name, share in left(found).items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slates", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    before = machine()
    stages = [stage(options.slates, seed) for seed in range(options.seeds)]
    found = [run(kind, options.slates, on) for kind in KINDS for on in stages]
    options.out.mkdir(parents=True, exist_ok=True)
    runs = [vars(one) | {"moved": one.moved} for one in found]
    report = {"machine": before, "slates": options.slates, "left": left(found), "runs": runs}
    (options.out / "bench-attack.json").write_text(json.dumps(report, indent=1))
    draw(found, options.out / "bench-attack.png")
    show(found)


if __name__ == "__main__":
    main()
