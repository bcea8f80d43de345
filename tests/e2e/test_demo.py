"""`freshrank demo` as a user runs it, with few users: its report, its picture, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

KEYS = {"events", "labels", "checkpoints_published", "checkpoints_served", "freshness_s", "auc", "broker"}
PATIENCE_S = 180.0


class Demo(Process):
    """A short demo, whose temporary files all lie in one place."""

    def __init__(self, home: Path) -> None:
        self.out, self.temporary = home / "out", home / "tmp"
        self.temporary.mkdir()
        command = [
            sys.executable,
            "-c",
            "from stream.cli import main; main()",
            "demo",
            "--out",
            str(self.out),
        ]
        environment = {"TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"}
        super().__init__([*command, "--users", "0.02", "--rate", "200"], environment, home / "demo.log")

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        return self._process.wait(timeout_s)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def left_behind(self) -> list[str]:
        """Command lines of processes that still work in its temporary directory."""
        return list(processes_that_name(str(self.temporary)))


def processes_that_name(text: str) -> Iterator[str]:
    listed = subprocess.run(
        ["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        if text in line and int(line.split()[0]) != os.getpid():
            yield line[:120]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path)
    try:
        yield running
    finally:
        if running.is_alive():
            running.stop()


def test_it_reports_what_it_measured_and_leaves_nothing_behind(demo: Demo) -> None:
    assert demo.wait(240) == 0, demo.tail()
    report = json.loads((demo.out / "report.json").read_bytes())
    assert report.keys() >= KEYS
    assert report["events"] > report["labels"] > 500
    assert report["checkpoints_published"] >= report["checkpoints_served"] >= 3
    assert 0 < report["freshness_s"]["p50"] <= report["freshness_s"]["p99"]
    assert set(report["auc"]) == {"online", "frozen"}
    assert (demo.out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "freshrank evaluate" in demo.tail(), "it says what to try next"
    assert demo.left_behind() == []
    assert list(demo.temporary.iterdir()) == []


def test_an_interrupted_demo_ends_before_its_time_and_leaves_nothing_behind(demo: Demo) -> None:
    demo.until(lambda: "embedded broker" in demo.tail(), PATIENCE_S, "its broker")
    demo.interrupt()
    assert demo.wait() == 130, demo.tail()
    assert not (demo.out / "report.json").exists()
    assert demo.left_behind() == []
    assert list(demo.temporary.iterdir()) == []
