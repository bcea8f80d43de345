"""SHELL: `freshrank doctor`: what stands in the way of running freshrank here."""

import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from stream.commands.options import with_settings
from stream.doctor import examine
from stream.settings import Settings


@click.command()
@with_settings
def doctor(settings: Settings) -> None:
    """Check broker, topics, database, base and device, and say what to do; exit 1 if anything fails."""
    checks = list(examine(settings))
    table = Table("check", "", Column("found", overflow="fold"), "what to do")
    for check in checks:
        verdict = "[green]ok[/]" if check.ok else "[red]fail[/]"
        table.add_row(check.name, verdict, escape(check.found), "" if check.ok else check.advice)
    Console().print(table)
    if not all(check.ok for check in checks):
        sys.exit(1)
