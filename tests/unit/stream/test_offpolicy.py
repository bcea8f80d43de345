"""The command: two policies of one log, each estimated from the other."""

import json
from pathlib import Path

from click.testing import CliRunner

from schemas.events import Impression, ShownItem
from stream.cli import main
from stream.logs import write_log
from tests.makers import click


def write(directory: Path, *policies: str) -> None:
    shown = [
        Impression(
            event_id=f"i{n}",
            request_id=f"r{n}",
            user_id=f"u{n % 9}",
            ts=n,
            items=[ShownItem(item_id="ab"[n % 4 == 0], position=0, propensity=0.5)],
            policy=policies[n % len(policies)],
        )
        for n in range(400)
    ]
    write_log(directory, "impressions", shown)
    write_log(
        directory, "clicks", [click(f"r{n}", n, "ab"[n % 4 == 0], f"u{n % 9}") for n in range(0, 400, 3)]
    )


def test_estimates_each_policy_from_the_other(tmp_path: Path) -> None:
    write(tmp_path / "log", "random", "bts")
    target = tmp_path / "report.json"
    result = CliRunner().invoke(main, ["offpolicy", str(tmp_path / "log"), "--report", str(target)])
    assert result.exit_code == 0, result.output
    written = json.loads(target.read_text())
    assert set(written["estimates"]) == {"random from bts", "bts from random"}
    assert set(written["estimates"]["random from bts"]) == {"IPS", "SNIPS", "DM", "DR"}
    assert written["on_policy"]["random"]["exposures"] == 200


def test_one_policy_has_nobody_to_be_estimated_from(tmp_path: Path) -> None:
    write(tmp_path / "log", "random")
    result = CliRunner().invoke(main, ["offpolicy", str(tmp_path / "log")])
    assert result.exit_code == 1
    assert "propensities of at least two policies" in " ".join(result.output.split())
