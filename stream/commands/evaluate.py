"""SHELL: `freshrank evaluate`: a log, test-then-train, with any number of arms in one pass."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import msgspec
import torch
from rich.console import Console
from rich.table import Table

from learner.arms import ARMS, Start, needs_base
from learner.backfill import BackfillSettings, Progress, train_base
from learner.ranker import RankerSettings
from learner.settings import LearnerSettings
from learner.text import DEFAULT_TEXT_ENCODER, TextEncoder
from schemas.errors import FreshrankError
from schemas.events import Item, UserEvent
from schemas.labels import LabeledSlate
from stream.commands.bars import StageBars
from stream.logs import between, count_events, read_events, read_items, split_ts
from stream.prequential.exams import Examiner, K
from stream.prequential.harness import Prequential, warm_up
from stream.prequential.observer import Observer
from stream.prequential.report import RANK_METRICS, SLATE_METRICS, report

_UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "day": 86_400_000}
_COSTS = ("seconds_per_1000", "published_bytes_median", "trained_parameters")
_EVERY_EVENTS = 500
"""How often, in events, a progress bar moves."""


class Interval(click.ParamType):
    """A length of event time such as `1s`, `5min`, `1h`, `1day`, as milliseconds; `never` is None."""

    name = "interval"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Parse the option's text."""
        if value == "never":
            return None
        match = re.fullmatch(r"([1-9]\d*)(ms|s|min|h|day)", value)
        if match is None:
            self.fail(f"expected a number with {', '.join(_UNITS_MS)}, or never; got {value!r}", param, ctx)
        return int(match[1]) * _UNITS_MS[match[2]]


class Names(click.ParamType):
    """Arms, separated by commas."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Parse the option's text."""
        names = tuple(dict.fromkeys(value.split(",")))
        unknown = [name for name in names if name not in ARMS]
        if unknown:
            self.fail(f"expected some of {', '.join(ARMS)}; got {', '.join(unknown)}", param, ctx)
        return names


@click.command()
@click.option(
    "--log", "directory", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--base-until", default=0.3, show_default=True, help="Share of the log (0 to 1), or epoch ms.")
@click.option(
    "--publish-every", type=Interval(), default="1s", show_default=True, help="Of event time; or never."
)
@click.option("--arms", "names", type=Names(), default="adalora,frozen,ctr,popularity", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--report", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
def evaluate(
    directory: Path,
    base_until: float,
    publish_every: int | None,
    names: Sequence[str],
    seed: int,
    target: Path | None,
) -> None:
    """Replay a log offline: score each impression with what was published before it, then learn from it."""
    console = Console()
    try:
        with StageBars(console) as bars:
            results = run(directory, base_until, publish_every, names, seed, bars)
    except FreshrankError as error:
        raise click.ClickException(str(error)) from error
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    console.print(_table(results))


def run(
    directory: Path,
    base_until: float,
    publish_every: int | None,
    names: Sequence[str],
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Evaluate arms on a log directory and return the report.

    Raises:
        LogDirectoryError: the log cannot be read.
        BaseError: the part before the split has nothing to train a base on, and an arm needs one.
    """
    items = list(read_items(directory))
    durations = {item.item_id: item.duration_ms for item in items}.get
    cut = split_ts(directory, base_until)
    observer, examiner = Observer(durations), Examiner()
    before = _counted(
        between(read_events(directory), None, cut), "warm up", count_events(directory, None, cut), progress
    )
    start = _start(items, warm_up(before, observer, examiner), names, seed, progress)
    arms = {name: ARMS[name].make(start) for name in names}
    trial = Prequential(observer, examiner, arms, publish_every, seed, perf_counter)
    after = between(read_events(directory), cut, None)
    trial.run(_counted(after, "test, train", count_events(directory, cut), progress))
    asked = {"log": directory.name, "base_until_ts": cut, "publish_every_ms": publish_every, "seed": seed}
    return asked | report(trial, durations, examiner.seen, seed)


def _start(
    items: Sequence[Item], slates: Sequence[LabeledSlate], names: Sequence[str], seed: int, progress: Progress
) -> Start:
    if not needs_base(names):
        return Start(items=items, slates=slates, seed=seed)
    settings = LearnerSettings.from_env(os.environ)
    torch.set_num_threads(settings.threads)
    embed = TextEncoder(Path(settings.state_dir), DEFAULT_TEXT_ENCODER)
    fit = BackfillSettings(seed=seed)
    trained = train_base(items, slates, embed, DEFAULT_TEXT_ENCODER, RankerSettings(), fit, progress=progress)
    return Start(items=items, slates=slates, seed=seed, embed=embed, base=trained.base)


def _counted(events: Iterable[UserEvent], stage: str, total: int, progress: Progress) -> Iterator[UserEvent]:
    """Pass events on and say how many there were."""
    done = 0
    for done, event in enumerate(events, start=1):
        if done % _EVERY_EVENTS == 0:
            progress(stage, done, total)
        yield event
    progress(stage, done, total)


def _table(results: dict[str, Any]) -> Table:
    """A row an arm and metric; metrics that do not apply to the log are left out."""
    table = Table("metric", "arm", "value", "95 % interval", title=results["log"])
    for metric in (*SLATE_METRICS, *RANK_METRICS, f"coverage@{K}", *_COSTS):
        rows = [(name, arm, _value(arm, metric)) for name, arm in results["arms"].items()]
        for name, arm, value in rows:
            if value is not None:
                table.add_row(
                    metric,
                    name,
                    f"{value:.4f}" if value < 1_000 else f"{value:,.0f}",
                    _span(arm["ci95"].get(metric)),
                )
        table.add_section()
    return table


def _value(arm: dict[str, Any], metric: str) -> float | None:
    group, _, task = metric.partition(".")
    value: float | None = arm[group][task] if task else arm[group]
    return value


def _span(ci95: tuple[float, float] | None) -> str:
    return "" if ci95 is None else f"{ci95[0]:.4f} – {ci95[1]:.4f}"
