"""SHELL: `freshrank convert`: a public data set → a log directory."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from schemas.errors import FreshrankError
from stream.conversion import kuairand, movielens, obd
from stream.logs import file_of, log_files, write_log

CONVERTERS = {"kuairand": kuairand.convert, "movielens": movielens.convert, "obd": obd.convert}


@click.command()
@click.argument("dataset", type=click.Choice(list(CONVERTERS)))
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--gzip/--plain", "gz", default=True, show_default=True, help="Write .jsonl.gz or .jsonl.")
def convert(dataset: str, source: Path, dest: Path, gz: bool) -> None:
    """Write the data set in SOURCE as a log directory in DEST: one file a topic, in order of time.

    Files of a log that DEST has, and this data set has not, are another's: then nothing is written.
    """
    table = Table("file", "records", title=f"{dataset} → {dest}")
    try:
        log = CONVERTERS[dataset](source)
    except FreshrankError as error:
        raise click.ClickException(str(error)) from error
    topics = log.in_order()
    if strangers := log_files(dest) - {file_of(name, gz) for name in topics}:
        raise click.ClickException(
            f"{dest}: expected no log or this one, found {', '.join(sorted(strangers))}, which would be mixed"
        )
    for name, records in topics.items():
        write_log(dest, name, records, gz)
        table.add_row(name, f"{len(records):,}")
    Console().print(table)
