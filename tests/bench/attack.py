"""P7: how far robots move the item that they push, in honest users' lists, with and without trust.

    python -m tests.bench.attack [--slates 4000] [--seeds 1] [--out build]
    → a table, bench-attack.json with every run, bench-attack.png

The product's own labels and online learner, over a base trained on what was before the attack. A run is one
stream of labels: without robots, with them, and with them and trust. Rank is the mean, over honest users, of
the item's place among all by predicted clicks, 0 the best, drawn every so many labels.
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

from learner.backfill import BackfillSettings, train_base
from learner.base import Base
from learner.learned_arms import AdaLora
from learner.query import Query
from learner.ranker import RankerSettings
from schemas.labels import LabeledSlate, Session
from tests.bench.report import machine
from tests.planted_attack import KINDS, QUIET, Attack, attack, labels, trust_of
from tests.tiny import embed

mpl.use("Agg")
from matplotlib import pyplot as plt

ARMS = ("no robots", "robots, no trust", "robots and trust")
SHAPE = RankerSettings(
    width=16,
    layers=1,
    heads=2,
    text_width=8,
    hidden=16,
    items=128,
    users=512,
    attributes=64,
    contexts=8,
)
USERS = 40
LOOKS = 8
"""How many times the rank is drawn; its last quarter is what an arm is judged by."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attack: mean ranks of the item over time by arm, and the trust in people and robots."""

    kind: str
    seed: int
    ranks: dict[str, list[float]]
    people: list[float]
    robots: list[float]

    @property
    def moved(self) -> dict[str, float]:
        """By how many places each arm moved the item up, at the end."""
        last = {arm: mean(ranks[-(LOOKS // 4) :]) for arm, ranks in self.ranks.items()}
        return {arm: last[ARMS[0]] - last[arm] for arm in ARMS[1:]}

    @property
    def share(self) -> float | None:
        """The part of the move that trust leaves; None where the robots did not move the item up."""
        moved = self.moved[ARMS[1]]
        return self.moved[ARMS[2]] / moved if moved > 0 else None


def run(kind: str, seed: int, slates: int) -> Run:
    """Label the three streams and learn them."""
    planted = attack(kind, slates, seed)
    start = planted.honest[0].ts
    turn = start + int(QUIET * (planted.honest[-1].ts - start))
    told = {
        ARMS[0]: labels(planted, planted.honest, trust=True),
        ARMS[1]: labels(planted, planted.attacked, trust=False),
        ARMS[2]: labels(planted, planted.attacked, trust=True),
    }
    past = [one for one in told[ARMS[0]] if one.observed_ts < turn]
    settings = BackfillSettings(epochs=3, batch=32)
    base = train_base(planted.world.items, past, embed, "planted", SHAPE, settings).base
    ranks = {arm: learn(base, planted, [s for s in told[arm] if s.observed_ts >= turn], seed) for arm in ARMS}
    people, robots = (trust_of(told[ARMS[2]], who) for who in ("user", "robot"))
    return Run(kind=kind, seed=seed, ranks=ranks, people=histogram(people), robots=histogram(robots))


def histogram(trust: list[float]) -> list[float]:
    """Shares of ten equal bins."""
    counts, _ = np.histogram(trust, bins=10, range=(0, 1))
    return (counts / max(1, counts.sum())).tolist()


def learn(base: Base, planted: Attack, told: list[LabeledSlate], seed: int) -> list[float]:
    """Learn in order of observation, and look at the item's rank from time to time."""
    arm = AdaLora(base, planted.world.items, embed, seed)
    parts = np.array_split(np.arange(len(told)), LOOKS)
    ranks = []
    for part in parts:
        arm.learn([told[n] for n in part])
        ranks.append(rank(arm, planted))
    return ranks


def rank(arm: AdaLora, planted: Attack) -> float:
    """The mean place of the item in the lists of honest users."""
    items = [item.item_id for item in planted.world.items]
    ts = planted.honest[-1].ts
    queries = [
        Query(user_id=user_id, session=Session(), ts=ts, surface="home", candidates=items)
        for user_id in list(planted.world.likes)[:USERS]
    ]
    at = items.index(planted.target)
    return mean(float((one[:, 0] > one[at, 0]).sum()) for one in arm.score(queries))


def draw(found: list[Run], path: Path) -> None:
    """Draw the rank over time by arm, a panel a kind of attack."""
    figure, panels = plt.subplots(1, len(KINDS), figsize=(12, 4), sharey=True, squeeze=False)
    for panel, kind in zip(panels[0], KINDS, strict=True):
        for arm in ARMS:
            over = np.mean([one.ranks[arm] for one in found if one.kind == kind], axis=0)
            panel.plot(np.linspace(0, 1, LOOKS), over, marker="o", label=arm)
        panel.set(title=f"{kind} robots", xlabel="share of the attack")
    panels[0][0].set_ylabel("rank of the pushed item, 0 the best")
    panels[0][0].invert_yaxis()
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def show(found: list[Run]) -> None:
    """Print one row a run."""
    table = Table(
        "kind", "seed", *ARMS, "places moved without / with", "left %", "people below ½ %", title="P7"
    )
    for one in found:
        last = (f"{mean(one.ranks[arm][-(LOOKS // 4) :]):.1f}" for arm in ARMS)
        moves = " / ".join(f"{move:.1f}" for move in one.moved.values())
        below = f"{100 * sum(one.people[:5]):.2f}"
        left = "–" if one.share is None else f"{100 * one.share:.1f}"
        table.add_row(one.kind, str(one.seed), *last, moves, left, below)
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slates", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    before = machine()
    found = [run(kind, seed, options.slates) for kind in KINDS for seed in range(options.seeds)]
    options.out.mkdir(parents=True, exist_ok=True)
    runs = [vars(one) | {"moved": one.moved, "left": one.share} for one in found]
    report = {"machine": before, "slates": options.slates, "runs": runs}
    (options.out / "bench-attack.json").write_text(json.dumps(report, indent=1))
    draw(found, options.out / "bench-attack.png")
    show(found)


if __name__ == "__main__":
    main()
