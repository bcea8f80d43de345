"""The command: what it takes, and the report it writes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.events import Item, UserEvent
from stream.cli import main
from stream.commands.evaluate import Intervals, evaluate
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
        ("250ms", (250,)),
        ("1s", (1_000,)),
        ("5min", (300_000,)),
        ("1day", (86_400_000,)),
        ("never", (None,)),
        ("never,1d,1s,1h", (1_000, 3_600_000, 86_400_000, None)),
    ],
)
def test_publish_intervals(text: str, ms: tuple[int | None, ...]) -> None:
    assert Intervals().convert(text, None, None) == ms


def test_several_seeds_are_one_arm_with_a_value_each(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    options = ["--log", str(log), "--arms", "river-fm,ctr", "--seeds", "0,1,2", "--report", str(target)]
    result = CliRunner().invoke(evaluate, options)
    assert result.exit_code == 0, result.output
    arms = json.loads(target.read_text())["arms"]
    assert len(arms["river-fm"]["seeds"]["auc.click"]) == 3
    assert len(arms["ctr"]["seeds"]["auc.click"]) == 1
    assert arms["river-fm"]["logloss"]["click"] == pytest.approx(
        sum(arms["river-fm"]["seeds"]["logloss.click"]) / 3
    )


def test_several_intervals_give_a_curve_beside_monoliths_and_a_picture(log: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    options = ["--arms", "ctr", "--publish-every", "1min,1h,never", "--plot", str(picture)]
    result = CliRunner().invoke(evaluate, ["--log", str(log), *options])
    assert result.exit_code == 0, result.output
    assert "ctr: auc.click by freshness" in result.output
    assert "Monolith" in result.output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_refinements_are_said_and_an_unknown_one_is_refused(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    options = ["--log", str(log), "--arms", "ctr", "--report", str(target), "--refine"]
    assert CliRunner().invoke(evaluate, [*options, "delays,quick"]).exit_code == 0
    assert json.loads(target.read_text())["refine"] == ["delays", "quick"]
    refused = CliRunner().invoke(main, ["evaluate", *options, "magic"])
    assert refused.exit_code == 1
    assert "expected some of" in refused.output


def test_until_ends_the_stream(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    options = ["--log", str(log), "--arms", "ctr", "--until", "0.5", "--report", str(target)]
    assert CliRunner().invoke(evaluate, options).exit_code == 0
    assert json.loads(target.read_text())["arms"]["ctr"]["examples"] == 40


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--arms", "ctr,magic", "got magic"),
        ("--publish-every", "soon", "got 'soon'"),
        ("--publish-every", "1s,0s", "got '0s'"),
        ("--seeds", "0,x", "got '0,x'"),
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
