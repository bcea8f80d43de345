"""SHELL: the `freshrank` command. Subcommands are imported when called, so that `--help` stays quick."""

from importlib import import_module
from typing import Any

import click

from schemas.errors import FreshrankError

COMMANDS = {
    "demo": "Run the whole loop on real data, on this machine.",
    "topics": "Create or list the Kafka topics.",
    "doctor": "Check broker, topics, database and device, and say what to do.",
    "replay": "Replay a log directory into the topics.",
    "backfill": "Train the base from a log directory.",
    "label": "Label a log directory offline, and report on its labels.",
    "evaluate": "Replay a log offline, test-then-train, and report metrics per arm.",
    "offpolicy": "Estimate a policy's clicks from the log of another.",
    "convert": "Convert a public data set into a log directory.",
    "models": "List, show, compare, export and bring back checkpoints.",
    "dead-letters": "List, show and send again the messages that nobody could use.",
}
"""Name → one line of help. The command is `stream.commands.<name>:<name>`, a dash an underscore."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"stream.commands.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what freshrank raises on purpose is shown as a message, all else as it is."""
        try:
            return super().invoke(ctx)
        except FreshrankError as error:
            raise click.ClickException(str(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="freshrank")
def main() -> None:
    """Learn from feedback while the user is still here."""
