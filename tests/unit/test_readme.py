"""The README says what the code does: its commands, settings, examples and list of files are checked."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from learner.settings import LearnerSettings
from schemas.environment import ENV_PREFIX
from stream.cli import COMMANDS, main
from stream.settings import Settings
from tests.source import modules

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.exists() else ""

pytestmark = pytest.mark.skipif(not TEXT, reason="README.md does not exist yet")


def blocks(*languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def commands() -> Iterator[list[str]]:
    """Every `freshrank …` that the README shows, as words: a line of a block, or between backticks."""
    lines = [line for block in blocks("sh", "bash", "console", "") for line in _logical_lines(block)]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL))
    for text in (*lines, *spans):
        shown = re.match(r"\s*(?:\$ )?(?:\S*/)?freshrank +([a-z].*)", text)
        if shown:
            yield shlex.split(shown[1], comments=True)


def _logical_lines(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def test_python_examples_compile() -> None:
    examples = blocks("python", "py")
    assert examples, "expected an example of a producer"
    for example in examples:
        compile(example, "README.md", "exec")


def test_commands_and_their_options_exist() -> None:
    shown = list(commands())
    assert shown
    for words in shown:
        _check(main, words)


def _check(command: click.Command, words: list[str]) -> None:
    """Walk down the groups, then compare the options; values are not looked at."""
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        inner = command.get_command(click.Context(command), words[0])
        assert inner is not None, f"`{command.name}` has no command {words[0]!r}"
        _check(inner, words[1:])
        return
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= known | {"--help", "-h", "--version"}, f"`{command.name}` has no {sorted(given - known)}"


def test_every_command_is_shown() -> None:
    assert {words[0] for words in commands()} >= set(COMMANDS)


def test_the_settings_table_is_complete() -> None:
    rows = set(re.findall(rf"^\| *`({ENV_PREFIX}\w+)`", TEXT, re.MULTILINE))
    settings = (*fields(Settings), *fields(LearnerSettings))
    assert rows == {ENV_PREFIX + spec.name.upper() for spec in settings}


def test_one_line_per_file() -> None:
    """A line, item or row begins with the path of each module (not of each `__init__.py`), and no other."""
    listed = set(re.findall(r"^(?:[|*-] *)?`?((?:schemas|learner|stream)/[\w/]+\.py)`?", TEXT, re.MULTILINE))
    real = {module.path for module in modules() if not module.path.endswith("/__init__.py")}
    missing, unknown = real - listed, listed - {module.path for module in modules()}
    assert (sorted(missing), sorted(unknown)) == ([], [])


def test_linked_files_exist() -> None:
    linked = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", TEXT)
    assert [path for path in linked if not (README.parent / path).exists()] == []
