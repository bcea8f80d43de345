"""SHELL: `freshrank evaluate`: a log, test-then-train, with any number of arms in one pass."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from learner.arms import ARMS
from schemas.errors import FreshrankError
from stream.commands.bars import StageBars
from stream.commands.options import with_join
from stream.join_settings import JoinSettings
from stream.prequential.picture import draw
from stream.prequential.tables import tables
from stream.prequential.trial import UNITS_MS, Interval, Plan, run

_DAY = "day"
"""Another way to write `d`."""


class Intervals(click.ParamType):
    """Lengths of event time such as `1s,5min,1h,1d,never`, as milliseconds; never is None."""

    name = "intervals"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Interval, ...]:
        """Parse the option's text; the shortest comes first."""
        found = {self._one(text, param, ctx) for text in value.split(",")}
        return tuple(sorted(found, key=lambda interval: float("inf") if interval is None else interval))

    def _one(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Interval:
        if text == "never":
            return None
        match = re.fullmatch(r"([1-9]\d*)(\w+)", text)
        unit = "" if match is None else match[2].replace(_DAY, "d")
        if match is None or unit not in UNITS_MS:
            self.fail(f"expected numbers with {', '.join(UNITS_MS)}, or never; got {text!r}", param, ctx)
        return int(match[1]) * UNITS_MS[unit]


class Names(click.ParamType):
    """Arms, separated by commas; `all` is all there are."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Parse the option's text."""
        names = tuple(ARMS) if value == "all" else tuple(dict.fromkeys(value.split(",")))
        unknown = [name for name in names if name not in ARMS]
        if unknown:
            self.fail(f"expected some of {', '.join(ARMS)}; got {', '.join(unknown)}", param, ctx)
        return names


class Seeds(click.ParamType):
    """Whole numbers, separated by commas."""

    name = "seeds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse the option's text."""
        if re.fullmatch(r"\d+(,\d+)*", value) is None:
            self.fail(f"expected whole numbers separated by commas, got {value!r}", param, ctx)
        return tuple(dict.fromkeys(map(int, value.split(","))))


_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--log", "directory", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--base-until", default=0.3, show_default=True, help="Share of the log (0 to 1), or epoch ms.")
@click.option("--until", type=float, help="Share of the log, or epoch ms; default: all of it.")
@click.option(
    "--publish-every",
    "intervals",
    type=Intervals(),
    default="1s",
    show_default=True,
    help="Of event time; several, as 1s,1min,1h,1d,never, give the freshness curve.",
)
@click.option(
    "--arms",
    "names",
    type=Names(),
    default="adalora,frozen,ctr,popularity",
    show_default=True,
    help=f"all, or some of {', '.join(ARMS)}.",
)
@click.option("--seeds", type=Seeds(), default="0", show_default=True, help="Results are means over these.")
@click.option("--report", "target", type=_FILE, help="Write JSON here.")
@click.option("--plot", type=_FILE, help="Write a PNG here.")
@with_join
def evaluate(
    directory: Path,
    base_until: float,
    until: float | None,
    intervals: Sequence[Interval],
    names: Sequence[str],
    seeds: Sequence[int],
    target: Path | None,
    plot: Path | None,
    join: JoinSettings,
) -> None:
    """Replay a log offline: score each impression with what was published before it, then learn from it.

    Differences are those of the first arm to each other one.
    """
    console = Console()
    plan = Plan(
        log=directory,
        arms=names,
        base_until=base_until,
        until=until,
        intervals=intervals,
        seeds=seeds,
        join=join,
    )
    try:
        with StageBars(console) as bars:
            results = run(plan, bars)
    except FreshrankError as error:
        raise click.ClickException(str(error)) from error
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    reference = next(iter(results["arms"]))
    for table in tables(results, reference):
        console.print(table)
    if plot is not None:
        draw(results, reference, plot)
