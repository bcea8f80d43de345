"""SHELL: `freshrank replay`: a log directory → topics."""

from functools import partial
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream.commands.options import with_settings
from stream.logs import between, count_events, read_events, read_items
from stream.replay import Pace, Replayed, at_rate, at_speed, open_producer, unpaced
from stream.replay import replay as replay_records
from stream.settings import Settings

POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rate", type=POSITIVE, help="Events a second.")
@click.option("--speed", type=POSITIVE, help="How many times as fast as it happened.")
@click.option("--from-ts", type=int, help="First event time, epoch ms.")
@click.option("--until-ts", type=int, help="End of event time, epoch ms; that itself is left out.")
@click.option("--items-only", is_flag=True, help="Send the catalogue and no events.")
@with_settings
def replay(
    settings: Settings,
    directory: Path,
    rate: float | None,
    speed: float | None,
    from_ts: int | None,
    until_ts: int | None,
    items_only: bool,
) -> None:
    """Send the items, then the events of DIRECTORY in event-time order; as fast as possible by default."""
    if rate and speed:
        raise click.UsageError("--rate and --speed exclude each other")
    items = list(read_items(directory))
    events = () if items_only else between(read_events(directory), from_ts, until_ts)
    total = 0 if items_only else count_events(directory, from_ts, until_ts)
    with open_producer(settings) as producer, _progress() as progress:
        for name, count, records, pace in (
            ("items", len(items), items, unpaced),
            ("events", total, events, _pace(rate, speed)),
        ):
            bar = progress.add_task(name, total=count)
            tick = partial(progress.advance, bar, 1)
            sent = replay_records(records, producer, pace, tick, prefix=settings.prefix)
            progress.console.print(_summary(name, sent))


def _pace(rate: float | None, speed: float | None) -> Pace:
    if rate:
        return at_rate(rate)
    return at_speed(speed) if speed else unpaced


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )


def _summary(name: str, sent: Replayed) -> str:
    by_topic = ", ".join(f"{topic} {count:,}" for topic, count in sent.counts.items()) or "nothing"
    rate = sent.total / max(sent.seconds, 1e-9)
    return f"{name}: {sent.total:,} in {sent.seconds:.1f} s ({rate:,.0f}/s): {by_topic}"
