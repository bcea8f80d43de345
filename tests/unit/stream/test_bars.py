"""Progress of stages: drawn on a terminal, told in lines elsewhere."""

from io import StringIO

from rich.console import Console

from stream.commands.bars import StageBars


def test_a_file_gets_a_line_each_tenth_and_nothing_else() -> None:
    written = StringIO()
    with StageBars(Console(file=written, width=80)) as bars:
        for done in range(0, 2001, 10):
            bars("train", done, 2_000)
        bars("nothing", 0, 0)
    lines = written.getvalue().splitlines()
    assert lines[:2] == ["train          0 of 2,000", "train          200 of 2,000"]
    assert lines[-2:] == ["train          2,000 of 2,000", "nothing        0 of 0"]
    assert len(lines) == 12


def test_a_terminal_gets_a_bar() -> None:
    written = StringIO()
    with StageBars(Console(file=written, width=80, force_terminal=True)) as bars:
        bars("train", 5, 10)
    assert "━" in written.getvalue() and "5/10" in written.getvalue()
