"""SHELL: the SQL projection: model registry, evaluation history, dead-letter index.

The calls block; a process with an event loop makes them through `stream.projection`.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from alembic.util.exc import CommandError
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, Table, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from schemas import tables
from schemas.checkpoint import Manifest
from schemas.codec import decode, encode
from schemas.evaluation import Evaluation
from stream.deadletters import Refusal
from stream.migrations import migrate

DatabaseError = SQLAlchemyError
"""What every call here raises when the database is locked, gone, or says no."""

UNFIT = (DataError, OverflowError)
"""What is raised where a value does not fit its column, however often it is written; the latter by SQLite."""

LOCK_TIMEOUT_S = 5.0
"""SQLite only: how long a writer waits for another process before it gives up, to be retried."""


class Store:
    """The projection behind one SQLAlchemy URL. Writing a record again replaces its row."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)

    @property
    def url(self) -> str:
        """Where it is, the password hidden."""
        return self._engine.url.render_as_string(hide_password=True)

    def create(self) -> None:
        """Bring the tables to this version's shape; workers that start together take turns.

        Raises:
            DatabaseError: also where the tables have the shape of a later release.
        """
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "sqlite":  # others lock what they change by themselves
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                migrate(connection)
            except CommandError as error:
                raise DatabaseError(
                    f"expected tables of this release or of one before, got: {error}"
                ) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def put_model(self, manifest: Manifest) -> None:
        """Register a checkpoint."""
        row = {
            "parent": manifest.parent,
            "base": manifest.base,
            "created_ts": manifest.created_ts,
            "examples_seen": manifest.examples_seen,
            "bytes": manifest.bytes,
            "manifest": encode(manifest).decode(),
        }
        self._put(tables.models, {"model": manifest.model, "version": manifest.version}, row)

    def put_evaluation(self, evaluation: Evaluation, partition: int, offset: int) -> None:
        """Add a metric to the history, keyed by its place in the `evaluations` topic."""
        row = {
            "name": evaluation.name,
            "value": evaluation.value,
            "count": evaluation.count,
            "model_version": evaluation.model_version,
            "window_start": evaluation.window_start,
            "window_end": evaluation.window_end,
            "slice": ",".join(f"{key}={value}" for key, value in sorted(evaluation.slice.items())),
        }
        self._put(tables.evaluations, {"partition": partition, "offset": offset}, row)

    def put_refusal(self, refusal: Refusal) -> None:
        """Index a dead letter by where the refused message stood."""
        key = {"topic": refusal.topic, "partition": refusal.partition, "offset": refusal.offset}
        row = {"reason": refusal.reason, "detail": refusal.detail, "bytes": refusal.size}
        self._put(tables.dead_letters, key, row)

    def models(self, limit: int = 50) -> list[Manifest]:
        """The newest checkpoints, newest first."""
        query = select(tables.models.c.manifest).order_by(tables.models.c.created_ts.desc()).limit(limit)
        return [decode(Manifest, row["manifest"].encode()) for row in self._rows(query)]

    def models_named(self, version: str) -> list[Manifest]:
        """The checkpoints whose versions start with `version`, newest first and five at most."""
        column = tables.models.c
        query = (
            select(column.manifest)
            .where(column.version.startswith(version, autoescape=True))
            .order_by(column.created_ts.desc())
            .limit(5)
        )
        return [decode(Manifest, row["manifest"].encode()) for row in self._rows(query)]

    def evaluations_of(self, version: str) -> list[RowMapping]:
        """The metrics of one model version, oldest first."""
        column = tables.evaluations.c
        query = select(tables.evaluations).where(column.model_version == version).order_by(column.window_end)
        return list(self._rows(query))

    def refusals(self, limit: int = 50) -> list[Refusal]:
        """Entries of the dead-letter index, in order of topic and place."""
        column = tables.dead_letters.c
        query = (
            select(tables.dead_letters).order_by(column.topic, column.partition, column.offset).limit(limit)
        )
        return [
            Refusal(row["topic"], row["partition"], row["offset"], row["reason"], row["detail"], row["bytes"])
            for row in self._rows(query)
        ]

    def _put(self, table: Table, key: dict[str, Any], row: dict[str, Any]) -> None:
        """Replace one row. Update-or-insert, because every SQL has its own dialect of upsert."""
        with self._engine.begin() as connection:
            if not _update(connection, table, key, row):
                connection.execute(table.insert().values(**key, **row))

    def _rows(self, query: Any) -> Sequence[RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().all()


def _update(connection: Connection, table: Table, key: dict[str, Any], row: dict[str, Any]) -> bool:
    same: list[ColumnElement[bool]] = [table.c[name] == value for name, value in key.items()]
    return connection.execute(table.update().where(*same).values(**row)).rowcount > 0


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    engine = create_engine(parsed, connect_args={"timeout": LOCK_TIMEOUT_S})
    event.listen(engine, "connect", _share_sqlite)
    if parsed.database and parsed.database != ":memory:":
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", lambda _, entry: entry.info.update(file=_identity(path)))
        event.listen(engine, "checkout", partial(_require_file, path))
    return engine


def _share_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Let `freshrank models` read while the worker writes."""
    with suppress(sqlite3.OperationalError):  # another opens the new file as well, and makes the same change
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _require_file(path: Path, _connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
    """Connect anew where the file is gone, or another: SQLite would go on writing to what nobody can find."""
    if entry.info.get("file") != _identity(path):
        raise InvalidatePoolError(f"{path}: expected the file that was opened")


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path is, on which device; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
