"""SHELL: `freshrank topics`: the Kafka topics."""

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from stream.administration import Status, TopicReport, create_topics, list_topics
from stream.commands.options import with_settings
from stream.settings import Settings

COLOURS = {Status.MISSING: "red", Status.WRONG_PARTITIONS: "red", Status.CREATED: "green"}


@click.group()
def topics() -> None:
    """Create or list the Kafka topics."""


@topics.command()
@with_settings
def create(settings: Settings) -> None:
    """Make the topics that are missing; exit 1 if one that is there has another partition count."""
    _show(create_topics(settings), settings)


@topics.command("list")
@with_settings
def list_(settings: Settings) -> None:
    """List the topics; exit 1 if one is missing or has another partition count."""
    _show(list_topics(settings), settings)


def _show(reports: Sequence[TopicReport], settings: Settings) -> None:
    table = Table("topic", "partitions", "status", title=f"topics on {settings.broker}")
    for report in reports:
        status = f"[{COLOURS.get(report.status, 'default')}]{report.status}[/]"
        if report.status is Status.WRONG_PARTITIONS:
            status += f", expected {report.expected}"
        table.add_row(report.name, str(report.partitions), status)
    Console().print(table)
    if any(report.status in (Status.MISSING, Status.WRONG_PARTITIONS) for report in reports):
        sys.exit(1)
