"""P5: how much of what waiting for the whole window costs is won back by telling labels early.

python -m tests.bench.delays [--hours 3] [--seeds 5] [--out build]      3.5 minutes of CPU time
→ a table, bench-delays.json with every run, bench-delays.png
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from schemas.labels import LabeledSlate
from tests.bench.report import machine
from tests.fake_negatives import FNC, FNW, click_rate, fake_negatives
from tests.planted_delays import (
    PLAIN,
    WINDOW_MS,
    Delayed,
    Loss,
    Result,
    Visit,
    closed,
    labelled,
    learn,
    visits,
    waited,
)

mpl.use("Agg")
from matplotlib import pyplot as plt

WORLDS = {
    "users return after 4 min": Delayed(),
    "users return after 20 min": Delayed(between_ms=1_200_000, n_users=750),
}
PUBLISH_S = (1, 60, 600)
HOUR_MS = 3_600_000
WARM_MS = 2_400_000
"""By then the first epoch has been sealed for ten minutes, and delays are known."""


class Arm(NamedTuple):
    """A stream of labels, each with the time at which it is known, and how it is learned."""

    labels: list[tuple[int, LabeledSlate]]
    loss: Loss = PLAIN


def arms(seen: list[Visit]) -> Mapping[str, Arm]:
    """What is compared, by name."""
    fake = list(fake_negatives(seen))
    return {
        "oracle": Arm(list(waited(seen, 0))),
        "wait": Arm(list(waited(seen, WINDOW_MS))),
        "product, no quick negatives": Arm(list(labelled(seen, ()))),
        "product, quick negatives": Arm(list(labelled(seen, ("quick",)))),
        "product, quick and weighed": Arm(list(labelled(seen, ("quick", "delays")))),
        "fake negatives, unweighed": Arm(fake),
        "fake negatives, 1 - rate": Arm(list(fake_negatives(seen, click_rate(seen)))),
        "fake negatives, FNW": Arm(fake, FNW),
        "fake negatives, FNC": Arm(fake, FNC),
    }


@dataclass(frozen=True, kw_only=True)
class Run:
    """One arm in one world: every figure is kept."""

    world: str
    arm: str
    publish_s: int
    seed: int
    closed: float
    result: Result


def runs(hours: float, seeds: int) -> Iterator[Run]:
    """Every world, seed, arm and publish interval; gaps are closed against arms of the same interval."""
    for world, laws in WORLDS.items():
        for seed in range(seeds):
            seen = visits(laws, int(hours * HOUR_MS), seed)
            compared = arms(seen)
            for publish_s in PUBLISH_S:
                results = {
                    name: learn(seen, arm.labels, WARM_MS, publish_s * 1_000, loss=arm.loss)
                    for name, arm in compared.items()
                }
                for arm, result in results.items():
                    share = closed(result, results["wait"], results["oracle"])
                    yield Run(
                        world=world, arm=arm, publish_s=publish_s, seed=seed, closed=share, result=result
                    )


def grouped(found: list[Run]) -> dict[tuple[str, int, str], list[Run]]:
    """Runs by world, publish interval and arm, over seeds."""
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in found:
        groups.setdefault((run.world, run.publish_s, run.arm), []).append(run)
    return groups


def show(found: list[Run]) -> None:
    """Print medians over seeds."""
    table = Table("world", "publish s", "arm", "AUC", "log loss", "label age s", "gap closed %", title="P5")
    for (world, publish_s, arm), group in grouped(found).items():
        figures = (
            f"{median(run.result.auc for run in group):.4f}",
            f"{median(run.result.log_loss for run in group):.4f}",
            f"{median(run.result.label_age_s for run in group):.0f}",
            " ".join(f"{100 * run.closed:.1f}" for run in group),
        )
        table.add_row(world, str(publish_s), arm, *figures)
    Console(width=140).print(table)


def draw(found: list[Run], path: Path) -> None:
    """Draw the share of the gap that is closed against the publish interval, a panel a world."""
    figure, panels = plt.subplots(1, len(WORLDS), figsize=(11, 4), sharey=True)
    groups = grouped(found)
    for panel, world in zip(panels, WORLDS, strict=True):
        for arm in dict.fromkeys(run.arm for run in found if run.arm not in ("oracle", "wait")):
            shares = [100 * median(run.closed for run in groups[world, s, arm]) for s in PUBLISH_S]
            panel.plot(PUBLISH_S, shares, marker="o", label=arm)
        panel.set(title=world, xscale="log", xlabel="seconds from version to version")
    panels[0].set_ylabel("AUC gap to the oracle closed, %")
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    found = list(runs(options.hours, options.seeds))
    options.out.mkdir(parents=True, exist_ok=True)
    report = {**machine(), "hours": options.hours, "runs": [asdict(run) for run in found]}
    (options.out / "bench-delays.json").write_text(json.dumps(report, indent=1))
    draw(found, options.out / "bench-delays.png")
    show(found)


if __name__ == "__main__":
    main()
