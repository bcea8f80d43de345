"""SHELL: `freshrank models`: the checkpoints in the registry, and what can be done with their weights.

What needs the weights is imported when it is called: a list needs the database alone, not torch.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learner.settings import LearnerSettings
from schemas.checkpoint import Manifest
from schemas.errors import FreshrankError
from stream.settings import Settings
from stream.storage import DatabaseError, Store

if TYPE_CHECKING:
    from learner.archive import Whole
    from learner.base import Base

T = TypeVar("T")


@click.group()
def models() -> None:
    """List, show, compare, export and bring back the checkpoints in the registry."""


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
    named = _read(lambda store: store.models_named(version))
    if len(named) != 1:
        found = " and ".join(manifest.version for manifest in named) or "none"
        raise click.ClickException(
            f"{version}: expected one checkpoint of this version, found {found}; see `freshrank models list`"
        )
    [manifest] = named
    table = Table("field", "value", show_header=False)
    for name, value in _fields(manifest):
        table.add_row(name, value)
    for row in _read(lambda store: store.evaluations_of(manifest.version))[-10:]:
        table.add_row(escape(f"{row['name']} {row['slice']}"), f"{row['value']:.4f} over {row['count']}")
    Console().print(table)


def _reported(command: Callable[..., None]) -> Callable[..., None]:
    """Say what went wrong without a trace: it stands in the error."""

    @wraps(command)
    def wrapped(**options: Any) -> None:
        try:
            command(settings=LearnerSettings.from_env(os.environ), **options)
        except FreshrankError as error:
            raise click.ClickException(str(error)) from error

    return wrapped


@models.command()
@click.argument("one")
@click.argument("other")
@_reported
def diff(settings: LearnerSettings, one: str, other: str) -> None:
    """Show how ranks and weights moved from version ONE to version OTHER."""
    from learner.base import load_base
    from learner.export import moved
    from learner.rollback import served_by

    base = load_base(settings.base_dir)
    first, second = _fetch(settings, base, one), _fetch(settings, base, other)
    if first[-1].manifest.base != second[-1].manifest.base:
        raise click.ClickException("the versions stand on different bases; their layers cannot be compared")
    norms = moved(served_by(base, first).model, served_by(base, second).model)
    before, after = first[-1].manifest.ranks, second[-1].manifest.ranks
    table = Table("layer", "rank", "→", "‖ΔW‖", "moved", box=SIMPLE_HEAD)
    for name, (norm, distance) in norms.items():
        table.add_row(
            name, str(before.get(name, 0)), str(after.get(name, 0)), f"{norm:.4f}", f"{distance:.4f}"
        )
    Console().print(table)


@models.command("export")
@click.argument("version")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@_reported
def export_model(settings: LearnerSettings, version: str, directory: Path) -> None:
    """Write VERSION into DIRECTORY as plain LoRA, which peft loads over the base.

    Where the learner has consolidated, that base is written there, too: workers can start from it with
    FRESHRANK_BASE, when what was folded into it is no longer in the models topic. Where rows of the base have
    gone to new ids, peft needs the base that is written to `given`, in which these rows are nothing. No
    worker starts from that one: checkpoints number their rows by the base that the learner stands on.
    """
    from learner.base import load_base
    from learner.rollback import export_version

    base = load_base(settings.base_dir)
    for path in export_version(base, _fetch(settings, base, version), directory):
        click.echo(path)


@models.command()
@click.argument("version")
@_reported
def rollback(settings: LearnerSettings, version: str) -> None:
    """Publish VERSION again, and let the learner go on from it; stop the learner first.

    Scorers take it at once. The trainer's newest snapshot is followed by one with the weights of VERSION:
    what was learned since is out of the weights and will not be learned again. Nothing is published where
    FRESHRANK_BASE is not the learner's own, or it has another base than VERSION by now.
    """
    from learner.archive import newest_base
    from learner.base import load_base
    from learner.rollback import publish_again, rewind

    base = load_base(settings.base_dir)
    chain = _fetch(settings, base, version)
    found, expected = chain[-1].manifest.base, newest_base(settings, settings.prefix, settings.model)
    if found != expected:
        raise click.ClickException(f"{version}: expected base {expected}, the learner's by now, got {found}")
    uri = rewind(settings, base, chain)
    click.echo(f"published {publish_again(settings, base, chain)}, the state of {chain[-1].manifest.version}")
    click.echo(f"the learner goes on from {uri}")


@models.command()
@click.argument("version")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@_reported
def consolidate(settings: LearnerSettings, version: str, directory: Path) -> None:
    """Fold VERSION into its base, and write the base that comes of it into DIRECTORY.

    Worker and learner start from it with FRESHRANK_BASE, the learner behind VERSION: its first snapshot says
    so. To have a running learner do it by itself, and scorers follow, is a setting of the learner.
    """
    from learner.base import load_base, save_base
    from learner.rollback import begin, folded

    base = load_base(settings.base_dir)
    chain = _fetch(settings, base, version)
    own = folded(base, chain)
    click.echo(f"{save_base(own, directory)}: base {own.hash}")
    uri = begin(settings, base, own, chain[-1].manifest)
    click.echo(f"a learner over it begins with {uri}" if uri else "its learner goes on from what it has")


def _fetch(settings: LearnerSettings, base: "Base", version: str) -> "list[Whole]":
    from learner.archive import fetch

    return fetch(settings, settings.prefix, settings.model, version, base.hash)


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
