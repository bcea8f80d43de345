"""SHELL: `freshrank models`: the checkpoints in the registry."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from schemas.checkpoint import Manifest
from stream.settings import Settings
from stream.storage import DatabaseError, Store

T = TypeVar("T")


@click.group()
def models() -> None:
    """List and show the checkpoints in the registry."""


@models.command("list")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1), help="Newest checkpoints shown."
)
def list_models(limit: int) -> None:
    """List the newest checkpoints, newest first."""
    manifests = _read(lambda store: store.models(limit))
    table = Table("version", "model", "created", "kind", "examples", "bytes", "rank", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for manifest in manifests:
        table.add_row(*_row(manifest))
    Console().print(table if manifests else "No checkpoint yet.")


@models.command()
@click.argument("version")
def show(version: str) -> None:
    """Show one checkpoint; VERSION may be shortened."""
    manifest = _read(lambda store: store.model(version))
    if manifest is None:
        raise click.ClickException(f"{version}: no checkpoint has this version; see `freshrank models list`")
    table = Table("field", "value", show_header=False)
    for name, value in _fields(manifest):
        table.add_row(name, value)
    for row in _read(lambda store: store.evaluations_of(manifest.version))[-10:]:
        table.add_row(f"{row['name']} {row['slice']}", f"{row['value']:.4f} over {row['count']}")
    Console().print(table)


def _read(query: Callable[[Store], T]) -> T:
    url = Settings.from_env(os.environ).database_url
    store = Store(url)
    try:
        store.create()
        return query(store)
    except DatabaseError as error:
        raise click.ClickException(f"database: cannot read the registry: {error}") from error
    finally:
        store.close()


def _row(manifest: Manifest) -> tuple[str, ...]:
    return (
        manifest.version,
        manifest.model,
        _utc(manifest.created_ts),
        "full" if manifest.parent is None else "delta",
        f"{manifest.examples_seen:,}",
        f"{manifest.bytes:,}",
        _ranks(manifest),
    )


def _fields(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield "version", manifest.version
    yield "model", manifest.model
    yield "created", _utc(manifest.created_ts)
    yield "parent", manifest.parent or "– (full checkpoint)"
    yield "base", manifest.base
    yield "examples seen", f"{manifest.examples_seen:,}"
    yield "bytes", f"{manifest.bytes:,}"
    yield "ranks", ", ".join(f"{layer} {rank}" for layer, rank in sorted(manifest.ranks.items()))
    for name, value in sorted(manifest.metrics.items()):
        yield name, f"{value:.4f}"


def _ranks(manifest: Manifest) -> str:
    return str(sum(manifest.ranks.values())) if manifest.ranks else "–"


def _utc(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
