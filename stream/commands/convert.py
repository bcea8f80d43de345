"""SHELL: `freshrank convert`: a public data set → a log directory."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from schemas.errors import FreshrankError
from stream.conversion import kuairand, movielens, obd
from stream.logs import write_log

CONVERTERS = {"kuairand": kuairand.convert, "movielens": movielens.convert, "obd": obd.convert}


@click.command()
@click.argument("dataset", type=click.Choice(list(CONVERTERS)))
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--gzip/--plain", "gz", default=True, show_default=True, help="Write .jsonl.gz or .jsonl.")
def convert(dataset: str, source: Path, dest: Path, gz: bool) -> None:
    """Write the data set in SOURCE as a log directory in DEST: one file a topic, in order of time."""
    table = Table("file", "records", title=f"{dataset} → {dest}")
    try:
        log = CONVERTERS[dataset](source)
    except FreshrankError as error:
        raise click.ClickException(str(error)) from error
    for name, records in log.in_order().items():
        write_log(dest, name, records, gz)
        table.add_row(name, f"{len(records):,}")
    Console().print(table)
