"""How many exposures a second one core labels, and how much memory a log takes by its length.

    python -m tests.bench.label [--rounds 5] [--scale 1] [--out build/bench-label.json]
    → a table, and a JSON file with every run's figure

Two logs in turn: slates of ten with 1.5 clicks and 1.5 dwells each, and slates of one as KuaiRand's, 0.45
clicks and 0.9 dwells. Each round labels both. `command` is `freshrank label` itself, but for the start of
Python: it reads the catalogue and the log, decodes, labels, reports, encodes and writes. `fold` has its
events in memory and drops its labels. Rates are by the CPU time of the process: other work on the machine
takes its turns, but also caches and half of a hyper-threaded core. A Python loop, measured with every round,
tells how much. Memory is the most that a process of its own has held, over logs of the same users, one four
times as long as the other.
"""

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np
from click.testing import CliRunner

from schemas.events import Click, Dwell, Impression, Item, ShownItem, UserEvent
from schemas.topics import ITEMS, USER_EVENTS
from stream.cli import main as freshrank
from stream.folding import PartitionFold
from stream.garbage import sparing_the_old
from stream.intent import tags_in
from stream.join_settings import REFINEMENTS, JoinSettings, Rules
from stream.logs import write_log
from stream.offline import TOPICS
from stream.offline import label as label_log
from tests.bench.report import ROOT, Figure, machine, show, write

BAR = 50_000.0
"""Exposures a second."""

FLAT = 1.25
"""Four times the log may take so many times the memory."""

LONGER = 4
VARIANTS = {"default": Rules().refinements, "all refinements": frozenset(REFINEMENTS)}
START_TS = 1_700_000_000_000
N_ITEMS = 5_000
DURATION_MS = 30_000.0
TAGS = 40

# VmHWM is of this program alone; the peak that getrusage tells begins with that of whoever started it.
_OWN_PEAK = """
import sys
from stream.cli import main
main(sys.argv[1:], standalone_mode=False)
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


@dataclass(frozen=True)
class Shape:
    """What a log looks like; rates are per slate."""

    slates: int
    size: int
    clicks: float
    dwells: float
    users: int
    gap_ms: float


SHAPES = {
    "tens": Shape(slates=8_000, size=10, clicks=1.5, dwells=1.5, users=1_000, gap_ms=500),
    "ones": Shape(slates=40_000, size=1, clicks=0.45, dwells=0.9, users=9_000, gap_ms=5_700),
}
LONG = Shape(slates=16_000, size=10, clicks=1.5, dwells=1.5, users=200, gap_ms=500)


def planted(shape: Shape, seed: int) -> list[UserEvent]:
    """A log of a shape, in event-time order."""
    rng = np.random.default_rng(seed)
    times = START_TS + np.cumsum(1 + rng.exponential(shape.gap_ms, shape.slates)).astype(int)
    users = rng.integers(shape.users, size=shape.slates)
    events: list[UserEvent] = []
    for number, (ts, user) in enumerate(zip(times.tolist(), users.tolist(), strict=True)):
        events += _visit(shape, rng, number, ts, f"user-{user}")
    return sorted(events, key=lambda event: event.ts)


def _visit(shape: Shape, rng: np.random.Generator, number: int, ts: int, user_id: str) -> Iterable[UserEvent]:
    shown = [f"item-{item}" for item in rng.choice(N_ITEMS, shape.size, replace=False)]
    of: dict[str, Any] = {"request_id": f"request-{number}", "user_id": user_id}
    items = [ShownItem(item_id=item_id, position=place) for place, item_id in enumerate(shown)]
    yield Impression(event_id=f"i-{number}", ts=ts, items=items, surface="home", **of)
    for item_id in (one for one in shown if rng.random() < shape.clicks / shape.size):
        at = ts + int(rng.exponential(10_000))
        yield Click(event_id=f"c-{number}-{item_id}", ts=at, item_id=item_id, **of)
    for item_id in (one for one in shown if rng.random() < shape.dwells / shape.size):
        dwell_ms = float(round(rng.exponential(15_000)))
        at = ts + int(rng.exponential(10_000)) + int(dwell_ms)
        yield Dwell(event_id=f"d-{number}-{item_id}", ts=at, item_id=item_id, dwell_ms=dwell_ms, **of)


def catalogue() -> list[Item]:
    """What is shown: every item lasts half a minute and has two tags."""
    return [
        Item(
            item_id=f"item-{number}",
            ts=START_TS,
            title=f"item {number}",
            tags=[f"tag-{number % TAGS}", f"tag-{number // 7 % TAGS}"],
            duration_ms=DURATION_MS,
        )
        for number in range(N_ITEMS)
    ]


def command(directory: Path, refinements: frozenset[str]) -> list[str]:
    """The arguments that label a log directory."""
    out, report = str(directory / "labels.out"), str(directory / "report.json")
    return [
        *("label", "--log", str(directory), "--out", out, "--report", report),
        *("--refine", ",".join(sorted(refinements))),
    ]


def label_directory(directory: Path, refinements: frozenset[str]) -> None:
    """Label a log directory by the command, in this process."""
    ran = CliRunner().invoke(freshrank, command(directory, refinements), catch_exceptions=False)
    if ran.exit_code:
        raise SystemExit(ran.output)


def label_in_memory(events: list[UserEvent], items: list[Item], refinements: frozenset[str]) -> None:
    """Fold events that are in memory, and drop their labels."""
    join = JoinSettings(rules=Rules(refinements=refinements))
    fold: PartitionFold[None] = PartitionFold(join, {}, lambda _: DURATION_MS, tags_in(items))
    with sparing_the_old():
        for _ in label_log(events, fold):
            pass


def timed(work: Callable[[], None]) -> float:
    began = process_time()
    work()
    return process_time() - began


def python_loop() -> None:
    """A hundred thousand dictionary writes."""
    known: dict[int, int] = {}
    for number in range(100_000):
        known[number % 1_000] = number


def rates(home: Path, rounds: int, scale: float) -> Iterator[Figure]:
    """Exposures a second of every shape, variant and part, measured in turn."""
    items, runs = catalogue(), defaultdict[tuple[str, str], list[float]](list)
    logs = {}
    for name, shape in SHAPES.items():
        events = planted(replace(shape, slates=int(shape.slates * scale)), seed=0)
        logs[name] = save(home / name, events, items), events
    label_directory(save(home / "first", logs["tens"][1][:100], items), frozenset())  # imports what it needs
    for _ in range(rounds):
        runs["machine", "Python loop"].append(timed(python_loop) * 10)
        for name, (directory, events) in logs.items():
            exposures = sum(len(event.items) for event in events if isinstance(event, Impression))
            for variant, refinements in VARIANTS.items():
                seconds = timed(partial(label_directory, directory, refinements))
                runs[f"slates of {name}", f"command, {variant}"].append(exposures / seconds)
                seconds = timed(partial(label_in_memory, events, items, refinements))
                runs[f"slates of {name}", f"fold, {variant}"].append(exposures / seconds)
    for (row, what), values in runs.items():
        unit = "us a write" if row == "machine" else "exposures/s"
        bar = BAR if what.startswith("command") else None
        yield Figure(row=row, what=what, unit=unit, runs=values, bar=bar)


def memory(home: Path, scale: float) -> Iterator[Figure]:
    """The most memory that the command holds over a log, and over one that is longer."""
    peaks = []
    for times in (1, LONGER):
        longer = replace(LONG, slates=int(LONG.slates * scale * times))
        directory = save(home / f"long-{times}", planted(longer, seed=0), catalogue())
        ran = subprocess.run(
            [sys.executable, "-c", _OWN_PEAK, *command(directory, VARIANTS["all refinements"])],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(ran.stdout.split()[-1]) / 1024)
        yield Figure(
            row="memory", what=f"most held over {longer.slates:,} slates", unit="MiB", runs=peaks[-1:]
        )
    growth = peaks[-1] / peaks[0]
    yield Figure(
        row="memory",
        what=f"a log {LONGER} times as long",
        unit="times",
        runs=[growth],
        bar=FLAT,
        at_most=True,
    )


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="Share of the slates.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=ROOT / "build/bench-label.json"
)
def main(rounds: int, scale: float, out: Path) -> None:
    """Measure, show the medians beside their bars, and write every run."""
    before = machine()
    with tempfile.TemporaryDirectory() as place:
        figures = [*rates(Path(place), rounds, scale), *memory(Path(place), scale)]
    show("labels of a log, one core", figures)
    write(out, before, figures)


def save(directory: Path, events: list[UserEvent], items: list[Item]) -> Path:
    """Write a log directory."""
    for topic in USER_EVENTS:
        write_log(directory, topic.name, (e for e in events if TOPICS[type(e)] == topic.name))
    write_log(directory, ITEMS.name, items)
    return directory


if __name__ == "__main__":
    main()
