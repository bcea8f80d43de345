"""`make bench-learner`: what issue 4 asks of the learner, in one table and one JSON file.

A row is a file beside this one and an entry in `ROWS`; it yields figures as they are measured. Those in
`LONG` take hours and run when they are named: other commands' own code, with its figures in this table.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import torch

from tests.bench.crash import crash
from tests.bench.learner.allocation_cost import allocation_cost
from tests.bench.learner.bad_data import bad_data
from tests.bench.learner.checkpoints import checkpoints
from tests.bench.learner.closed_loop import closed_loop
from tests.bench.learner.drift import drift
from tests.bench.learner.forgetting import forgetting
from tests.bench.learner.memory_use import memory_use
from tests.bench.learner.peft_cost import peft_cost
from tests.bench.learner.quality import freshness, quality
from tests.bench.learner.rate import gpu, rate
from tests.bench.learner.trainer_snapshots import trainer_snapshots
from tests.bench.report import ROOT, Figure, machine, show, write

Row = Callable[[bool], Iterator[Figure]]

ROWS: dict[str, Row] = {
    "rate": rate,
    "gpu": gpu,
    "allocation": allocation_cost,
    "peft": peft_cost,
    "checkpoint": checkpoints,
    "snapshot": trainer_snapshots,
    "bad-data": bad_data,
    "memory": memory_use,
    "drift": drift,
    "forgetting": forgetting,
    "closed-loop": closed_loop,
}


def _killed(short: bool) -> Iterator[Figure]:
    """The learner under SIGKILL, as `make bench-crash` has it."""
    return crash("embedded", 20_000, 2, 0, snapshot_s=0.1) if short else crash("kafka", 300_000, 20, 0)


OVER_LOGS = {"quality": quality, "freshness": freshness}
LONG = (*OVER_LOGS, "crash")


def _rows(logs: Path | None) -> dict[str, Row]:
    """All rows that can be run."""
    over = {} if logs is None else {name: partial(row, logs) for name, row in OVER_LOGS.items()}
    return {**ROWS, "crash": _killed, **over}


@click.command()
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([*ROWS, *LONG]),
    help=f"Only these rows; may be repeated. {', '.join(LONG)} run only when they are named.",
)
@click.option("--short", is_flag=True, help="Few runs: whether it works, not how good it is.")
@click.option(
    "--logs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of the converted logs `kuairand` and `movielens` (`freshrank convert`), for quality.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=ROOT / "build" / "bench-learner.json",
    show_default="build/bench-learner.json",
)
def main(only: tuple[str, ...], short: bool, logs: Path | None, out: Path) -> None:
    """Measure the learner and show each figure beside its bar."""
    torch.set_num_threads(1)
    before, figures, rows = machine(), [], _rows(logs)
    missing = [name for name in only if name not in rows]
    if missing:
        raise click.UsageError(f"{', '.join(missing)}: expected --logs DIRECTORY, too")
    for name in only or ROWS:
        for figure in rows[name](short):
            figures.append(figure)
            click.echo(f"{figure.row}: {figure.what}: {figure.median:,.4g} {figure.unit}", err=True)
            write(out, before, figures)  # a run that is cut short leaves what it found
    show(f"freshrank learner, commit {before['commit']}, {before['cores']} × {before['cpu']}", figures)
    if not only:
        named = " ".join(f"--only {name}" for name in LONG)
        click.echo(f"Hours more, and not in this table: make bench-learner BENCH='{named} --logs DIRECTORY'")


if __name__ == "__main__":
    main()
