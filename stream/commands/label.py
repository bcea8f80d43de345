"""SHELL: `freshrank label`: a log directory → its labels, offline, by the fold of the live path."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas.codec import encode
from schemas.events import UserEvent
from stream.commands.options import with_join
from stream.folding import PartitionFold
from stream.garbage import sparing_the_old
from stream.intent import tags_in
from stream.join_settings import JoinSettings
from stream.label_plots import draw
from stream.label_report import LabelReport
from stream.logs import read_events, read_items
from stream.offline import label as label_log

_EVERY_EVENTS = 5_000
"""How often, in events, the progress moves."""


@click.command()
@click.option(
    "--log", "directory", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="JSON lines.")
@click.option("--report", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
@click.option("--plot", "pictures", type=click.Path(file_okay=False, path_type=Path), help="Draw PNGs here.")
@with_join
def label(directory: Path, out: Path, target: Path | None, pictures: Path | None, join: JoinSettings) -> None:
    """Write every label that the worker would make of a log; slates open at its end are closed there."""
    items = list(read_items(directory))
    durations = {item.item_id: item.duration_ms for item in items}.get
    report = LabelReport(durations)
    fold: PartitionFold[None] = PartitionFold(join, {}, durations, tags_in(items))
    console, began = Console(), perf_counter()
    out.parent.mkdir(parents=True, exist_ok=True)
    with sparing_the_old(), out.open("wb", buffering=1 << 20) as sink, _events(console, directory) as events:
        _write(label_log(_seen(events, report), fold), report, sink)
    result = report.result(fold.counts) | {"seconds": perf_counter() - began}
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(result, indent=2) + "\n")
    console.print(_table(result, str(directory)))
    for path in [] if pictures is None else draw(report, pictures):
        console.print(f"drawn: {path}")


def _write(labels: Iterator[Any], report: LabelReport, sink: IO[bytes]) -> None:
    for one in labels:
        report.fold(one)
        sink.write(encode(one))
        sink.write(b"\n")


def _seen(events: Iterator[UserEvent], report: LabelReport) -> Iterator[UserEvent]:
    for event in events:
        report.see(event)
        yield event


@contextmanager
def _events(console: Console, directory: Path) -> Iterator[Iterator[UserEvent]]:
    """The events of a log, counted on the screen. How many there are is known at its end only."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("events", total=None)

        def counted() -> Iterator[UserEvent]:
            number = 0
            for number, event in enumerate(read_events(directory), start=1):
                if number % _EVERY_EVENTS == 0:
                    progress.update(bar, completed=number)
                yield event
            progress.update(bar, completed=number, total=number)

        yield counted()


def _table(result: dict[str, Any], title: str) -> Table:
    table = Table("kind", "labels", "outcomes", "clicked", "p50", "p99", title=title)
    for kind, labels in result["labels"].items():
        delay_s = result["delay_s"][kind]
        shown = (f"{result[group].get(kind, 0):,}" for group in ("outcomes", "clicked"))
        table.add_row(kind, f"{labels:,}", *shown, f"{delay_s['p50']:.3g} s", f"{delay_s['p99']:.3g} s")
    source, seconds = result["source"], result["seconds"]
    exposures = source.get("exposures", 0)
    table.caption = (
        f"{exposures:,} exposures and {source.get('clicks', 0):,} clicks in {seconds:.1f} s"
        f" ({exposures / max(seconds, 1e-9):,.0f}/s)"
    )
    return table
