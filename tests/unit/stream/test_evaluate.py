"""The command: what it takes, and the report it writes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.events import Item, UserEvent
from stream.commands.evaluate import Interval, evaluate
from stream.logs import write_log
from tests.makers import click, impression


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """200 slates of which one item is clicked, and another never."""
    directory = tmp_path / "log"
    shown: list[UserEvent] = [
        impression(f"r{n}", n * 20_000, "ab"[n % 2], user_id=f"u{n % 7}") for n in range(200)
    ]
    clicked: list[UserEvent] = [
        click(f"r{n}", n * 20_000 + 5, "a", user_id=f"u{n % 7}") for n in range(0, 200, 2)
    ]
    write_log(directory, "impressions", shown)
    write_log(directory, "clicks", clicked, gz=True)
    write_log(directory, "items", [Item(item_id=item, ts=0, title=item) for item in "ab"])
    return directory


def test_writes_a_report_of_every_arm(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "report.json"
    options = ["--log", str(log), "--arms", "ctr,popularity,itemknn", "--report", str(target)]
    result = CliRunner().invoke(evaluate, options)
    assert result.exit_code == 0, result.output
    written = json.loads(target.read_text())
    assert list(written["arms"]) == ["ctr", "popularity", "itemknn"]
    assert written["arms"]["ctr"]["auc"]["click"] > 0.9
    assert written["arms"]["ctr"]["examples"] == 140
    assert written["arms"]["ctr"]["hr@10"] is None
    assert set(written["differences"]) == {"ctr - popularity", "ctr - itemknn", "popularity - itemknn"}


def test_the_same_seed_gives_the_same_report(log: Path, tmp_path: Path) -> None:
    reports = []
    for name in ("one", "two"):
        CliRunner().invoke(evaluate, ["--log", str(log), "--arms", "ctr", "--report", str(tmp_path / name)])
        reports.append(json.loads((tmp_path / name).read_text()))
        reports[-1]["arms"]["ctr"].pop("seconds_per_1000")
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250ms", 250),
        ("1s", 1_000),
        ("5min", 300_000),
        ("1h", 3_600_000),
        ("1day", 86_400_000),
        ("never", None),
    ],
)
def test_publish_intervals(text: str, ms: int | None) -> None:
    assert Interval().convert(text, None, None) == ms


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--arms", "ctr,magic", "got magic"),
        ("--publish-every", "soon", "got 'soon'"),
        ("--publish-every", "0s", "got '0s'"),
        ("--base-until", "-1", "expected a split from 0 to 1"),
    ],
)
def test_bad_options_say_what_was_expected(log: Path, option: str, value: str, said: str) -> None:
    result = CliRunner().invoke(evaluate, ["--log", str(log), "--arms", "ctr", option, value])
    assert result.exit_code != 0
    assert said in " ".join(result.output.split())


def test_a_log_without_events_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(evaluate, ["--log", str(tmp_path), "--arms", "ctr"])
    assert result.exit_code == 1
    assert "expected events to split" in result.output
