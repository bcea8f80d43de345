"""A disk that is full: what needs it says so and ends, what does not goes on, and nothing is spoilt."""

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from learner import snapshots
from tests.e2e.conftest import Past
from tests.faults.conftest import PATIENCE_S, Site, eventually, gauge
from tests.faults.learned import assert_learned_once, snapshot_dir
from tests.faults.load import Load, happenings, playing
from tests.faults.test_database_faults import FAILED, Loop, poison_beside
from tests.processes import Process
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

DISK_BYTES = 256_000_000
"""Of the small disk: room for what worker and learner keep, four snapshots of 20 MB among it."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"FULL DISKS ARE NOT TESTED: nobody may mount a small file system here: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True, timeout=10)


def test_a_full_disk_stops_the_learner_and_spoils_nothing(
    site: Site, planted: World, past: Past, small_disk: Path
) -> None:
    site.settings = replace(site.settings, state_dir=str(small_disk))
    loop = Loop(site, past.base, planted.items, f"sqlite:///{small_disk / 'registry.db'}")
    directory = snapshot_dir(site, past.base)
    fillers = [small_disk / name for name in ("filler", "another")]
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 15), poison_beside) as load:
        eventually(loop.begun, loop.worker, "a loop that works")
        loop.learner.until(lambda: snapshots.newest(directory) is not None, PATIENCE_S, "a snapshot")
        fill(fillers[0])
        assert_ends_for_want_of_space(loop.learner, load)
        eventually(lambda: FAILED in loop.worker.log.read_text(), loop.worker, "a write that fails")
        assert "database or disk is full" in loop.worker.log.read_text()
        labels = gauge(loop.worker, "freshrank_labels_total")
        eventually(lambda: gauge(loop.worker, "freshrank_labels_total") > labels + 50, loop.worker, "labels")
        assert snapshots.newest(directory) is not None, "the snapshot before is whole"

        again = site.launch_learner(past.base, {"FRESHRANK_SNAPSHOT_S": "2"})
        assert_ends_for_want_of_space(again, load)
        assert loop.worker.stop() == 0, loop.worker.tail()
        fill(fillers[1])  # what the two have left
        loop.worker = site.start_worker()  # it needs the disk for nothing but the database
        for filler in fillers:
            filler.unlink()
        loop.learner = site.start_learner(past.base, FRESHRANK_SNAPSHOT_S="2")
        assert "restored snapshot" in loop.learner.log.read_text()
        load.wait(3.0)
    site.settle(loop.worker)
    assert_learned_once(site, loop.learner, past.base)
    eventually(lambda: loop.indexed() >= loop.refused(), loop.worker, "every row")
    for path in small_disk.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def assert_ends_for_want_of_space(learner: Process, load: Load) -> None:
    """By itself, and it says why."""
    deadline = time.monotonic() + PATIENCE_S
    while learner.is_alive():
        assert time.monotonic() < deadline, learner.tail()
        load.wait(0.5)
    assert learner.wait(1.0) == 1
    assert "SnapshotError" in learner.tail()
    assert "No space left on device" in learner.tail()


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
