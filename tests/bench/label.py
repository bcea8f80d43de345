"""How many exposures a second one core labels: log directories in, JSON lines out, by the fold of the worker.

    python -m tests.bench.label --rounds 5 --out label.json

Two logs in turn: slates of ten with 1.5 clicks and 1.5 dwells each, and slates of one as KuaiRand's, 0.45
clicks and 0.9 dwells. Each round labels both; every round's figure is kept. `whole` reads, decodes, labels,
encodes and writes; `fold` has its events in memory and drops its labels. Rates are by the CPU time of the
process: other work on the machine takes its turns, but also caches and half of a hyper-threaded core.
`loop_us`, a Python loop measured with every round, tells how much.
"""

import json
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import click
import numpy as np

from schemas.codec import encode
from schemas.events import Click, Dwell, Impression, ShownItem, UserEvent
from schemas.labels import LabeledSlate
from schemas.topics import USER_EVENTS
from stream.folding import PartitionFold
from stream.garbage import spare_the_old
from stream.join_settings import JoinSettings, Rules
from stream.logs import read_events, write_log
from stream.offline import TOPICS
from stream.offline import label as label_log
from tests.bench.report import machine

REFINED = frozenset({"quick", "feedback", "satisfaction", "examination", "delays", "trust"})
START_TS = 1_700_000_000_000
ITEMS = 5_000


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
    shown = [f"item-{item}" for item in rng.choice(ITEMS, shape.size, replace=False)]
    of = {"request_id": f"request-{number}", "user_id": user_id}
    items = [ShownItem(item_id=item_id, position=place) for place, item_id in enumerate(shown)]
    yield Impression(event_id=f"i-{number}", ts=ts, items=items, surface="home", **of)
    for item_id in (one for one in shown if rng.random() < shape.clicks / shape.size):
        at = ts + int(rng.exponential(10_000))
        yield Click(event_id=f"c-{number}-{item_id}", ts=at, item_id=item_id, **of)
    for item_id in (one for one in shown if rng.random() < shape.dwells / shape.size):
        dwell_ms = float(round(rng.exponential(15_000)))
        at = ts + int(rng.exponential(10_000)) + int(dwell_ms)
        yield Dwell(event_id=f"d-{number}-{item_id}", ts=at, item_id=item_id, dwell_ms=dwell_ms, **of)


def new_fold(refinements: frozenset[str]) -> PartitionFold[None]:
    """A fold as the worker's; every item lasts half a minute."""
    return PartitionFold(JoinSettings(rules=Rules(refinements=refinements)), {}, lambda _: 30_000.0)


def whole(directory: Path, refinements: frozenset[str]) -> None:
    """Label a log directory as `freshrank label` does."""
    with (directory / "labels.out").open("wb", buffering=1 << 20) as sink:
        for one in label_log(read_events(directory), new_fold(refinements)):
            sink.write(encode(one))
            sink.write(b"\n")


def fold_only(events: list[UserEvent], refinements: frozenset[str]) -> None:
    """Label events in memory."""
    drop: Callable[[LabeledSlate], None] = id  # type: ignore[assignment]
    for one in label_log(events, new_fold(refinements)):
        drop(one)


def timed(work: Callable[[], None]) -> float:
    began = process_time()
    work()
    return process_time() - began


def python_loop() -> None:
    """A hundred thousand dictionary writes."""
    known: dict[int, int] = {}
    for number in range(100_000):
        known[number % 1_000] = number


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="Share of the slates.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
def main(rounds: int, scale: float, out: Path | None) -> None:
    """Measure, and show the medians."""
    spare_the_old()  # as the command and the worker do
    runs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        logs = {name: _made(Path(place) / name, shape, scale) for name, shape in SHAPES.items()}
        for _ in range(rounds):
            runs.setdefault("loop_us", []).append(timed(python_loop) * 10_000)
            for name, (directory, events) in logs.items():
                exposures = sum(len(e.items) for e in events if isinstance(e, Impression))
                for variant, refinements in (("default", Rules().refinements), ("refined", REFINED)):
                    for part, seconds in (
                        ("whole", timed(lambda d=directory, r=refinements: whole(d, r))),
                        ("fold", timed(lambda e=events, r=refinements: fold_only(e, r))),
                    ):
                        runs.setdefault(f"{name}.{variant}.{part}", []).append(exposures / seconds)
    result = {
        **machine(),
        "medians": {name: statistics.median(values) for name, values in runs.items()},
        "runs": runs,
    }
    click.echo(json.dumps(result, indent=2))
    if out is not None:
        out.write_text(json.dumps(result, indent=2) + "\n")


def _made(directory: Path, shape: Shape, scale: float) -> tuple[Path, list[UserEvent]]:
    shape = Shape(**{**vars(shape), "slates": int(shape.slates * scale)})
    events = planted(shape, seed=0)
    for topic in USER_EVENTS:
        write_log(directory, topic.name, (e for e in events if TOPICS[type(e)] == topic.name))
    return directory, events


if __name__ == "__main__":
    main()
