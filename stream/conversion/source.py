"""SHELL: the files of a public data set, read as rows."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import LogDirectoryError

Row = dict[str, str]


def csv_rows(directory: Path, name: str) -> Iterator[Row]:
    """Rows of a CSV file, plain or gzipped, as strings by column name.

    Raises:
        LogDirectoryError: the file is not there.
    """
    path = _existing(directory, name)
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        yield from csv.DictReader(lines)


def parquet_rows(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, by column name.

    Raises:
        LogDirectoryError: the file is not there.
    """
    from pyarrow import parquet  # heavy, and only this reader needs it

    with parquet.ParquetFile(_existing(directory, name)) as table:
        for batch in table.iter_batches():
            yield from batch.to_pylist()


def _existing(directory: Path, name: str) -> Path:
    path = directory / name
    if not path.is_file():
        present = (
            sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else "no such directory"
        )
        raise LogDirectoryError(f"{directory}: expected the file {name}, found {present}")
    return path
