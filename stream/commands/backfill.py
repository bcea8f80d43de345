"""SHELL: `freshrank backfill`: a log directory → the base."""

import os
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from learner.backfill import Trained
from learner.settings import LearnerSettings
from schemas.errors import FreshrankError
from stream.backfill import backfill as run
from stream.commands.bars import StageBars
from stream.commands.options import with_join
from stream.join_settings import JoinSettings
from stream.logs import split_ts


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--until", type=float, help="Share of the log (0 to 1), or epoch ms; default: all of it.")
@click.option(
    "--base", help="Directory of the base; default: FRESHRANK_BASE, or `base` in the state directory."
)
@click.option("--seed", type=click.IntRange(0), help="Seed of all chance; default: FRESHRANK_SEED.")
@with_join
def backfill(
    directory: Path, until: float | None, base: str | None, seed: int | None, join: JoinSettings
) -> None:
    """Train the base from the items and events of DIRECTORY; worker and learner start from it.

    They are labelled as the worker's settings say: windows, refinements, bounces.
    A run that was killed is gone on from: run it again.
    """
    console = Console()
    try:
        settings = LearnerSettings.from_env(os.environ)
        settings = replace(
            settings,
            base=settings.base if base is None else base,
            seed=settings.seed if seed is None else seed,
        )
        until_ts = None if until is None else split_ts(directory, until)
        with StageBars(console) as bars:
            trained = run(directory, until_ts, settings, join, bars)
    except FreshrankError as error:
        raise click.ClickException(str(error)) from error
    _show(console, trained, settings)


def _show(console: Console, trained: Trained, settings: LearnerSettings) -> None:
    table = Table(show_header=False, title="base")
    table.add_row("directory", str(settings.base_dir))
    table.add_row("hash", trained.base.hash)
    table.add_row("examples", f"{trained.examples:,}")
    table.add_row("held-out loss", f"{trained.held_out_loss:.4f}")
    if trained.ratings is not None:
        off = trained.ratings
        table.add_row("held-out ratings", f"MAE {off.mae:.3f}, RMSE {off.rmse:.3f} over {off.count:,}")
    console.print(table)
    console.print("Next: `faust -A stream worker` and `python -m learner`, with the same FRESHRANK_BASE;")
    console.print("then `freshrank replay` sends them the rest of the log. A new base needs both restarted.")
