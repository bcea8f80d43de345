"""`make bench-learner`: what issue 4 asks of the learner's speed and size, in one table and one JSON file.

A row is a file beside this one and an entry in `ROWS`; it yields figures as they are measured.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import torch

from tests.bench.learner.allocation_cost import allocation_cost
from tests.bench.learner.checkpoints import checkpoints
from tests.bench.learner.closed_loop import closed_loop
from tests.bench.learner.drift import drift
from tests.bench.learner.forgetting import forgetting
from tests.bench.learner.memory_use import memory_use
from tests.bench.learner.peft_cost import peft_cost
from tests.bench.learner.rate import gpu, rate
from tests.bench.report import ROOT, Figure, machine, show, write

ROWS: dict[str, Callable[[bool], Iterator[Figure]]] = {
    "rate": rate,
    "gpu": gpu,
    "allocation": allocation_cost,
    "peft": peft_cost,
    "checkpoint": checkpoints,
    "memory": memory_use,
    "drift": drift,
    "forgetting": forgetting,
    "closed-loop": closed_loop,
}


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(list(ROWS)), help="Only these rows; may be repeated."
)
@click.option("--short", is_flag=True, help="Few runs: whether it works, not how fast it is.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=ROOT / "build" / "bench-learner.json",
    show_default="build/bench-learner.json",
)
def main(only: tuple[str, ...], short: bool, out: Path) -> None:
    """Measure the learner and show each figure beside its bar."""
    torch.set_num_threads(1)
    before, figures = machine(), []
    for name in only or ROWS:
        for figure in ROWS[name](short):
            figures.append(figure)
            click.echo(f"{figure.row}: {figure.what}: {figure.median:,.4g} {figure.unit}", err=True)
            write(out, before, figures)  # a run that is cut short leaves what it found
    show(f"freshrank learner, commit {before['commit']}, {before['cores']} × {before['cpu']}", figures)


if __name__ == "__main__":
    main()
