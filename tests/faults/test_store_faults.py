"""A database that is locked or gone, and a disk that is full: what does not need them goes on."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from learner import snapshots
from learner.base import load_base
from learner.settings import LearnerSettings
from stream.storage import Store
from tests.e2e.conftest import LEARNER_IS_READY, Past
from tests.faults.conftest import PATIENCE_S, Site, eventually
from tests.faults.load import as_it_is, happenings, playing
from tests.processes import Process, Worker
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(400)]

DISK_BYTES = 24_000_000
"""Of the small disk: room for what a learner keeps beside its snapshots, and for few of these."""


def poison_beside(event):
    """A message that is refused, and the event: the refusal is what has to be written to the database."""
    topic, key, value = as_it_is(event)[0]
    return [(topic, key, b"?"), (topic, key, value)]


def answers_quickly(worker: Worker) -> bool:
    """The event loop turns: a page comes within a second or two, on a busy machine."""
    started = time.monotonic()
    return worker.get("/healthz")[0] == 200 and time.monotonic() - started < 2.0


def refusals(site: Site) -> int:
    with closing(Store(site.settings.database_url)) as store:
        store.create()
        return len(store.refusals(limit=10_000))


def test_a_locked_database_is_waited_for_and_nothing_else_waits(site: Site, planted: World) -> None:
    site.settings = replace(site.settings, roles=("label", "evaluate"))
    worker = site.start_worker()
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 20), poison_beside) as load:
        eventually(lambda: refusals(site) > 0, worker, "the first row")
        path = Path(site.settings.state_dir) / "freshrank.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(15):
                load.wait(1.0)
                assert answers_quickly(worker)
            other.execute("ROLLBACK")
    site.settle(worker)
    eventually(lambda: refusals(site) == len(load.sent), worker, "every row")


def test_a_database_that_is_gone_is_written_to_when_it_is_back(site: Site, planted: World) -> None:
    place = site.home / "registry.db"
    place.mkdir()  # no database can be opened where a directory is
    site.settings = replace(site.settings, roles=("label", "evaluate"), database=f"sqlite:///{place}")
    worker = site.start_worker()
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 20), poison_beside) as load:
        load.wait(5.0)
        assert answers_quickly(worker)
    site.settle(worker)
    place.rmdir()
    eventually(lambda: refusals(site) == len(load.sent), worker, "every row")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is soon full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a small file system here: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True, timeout=10)


def test_a_full_disk_stops_the_learner_and_spoils_nothing(
    site: Site, planted: World, past: Past, small_disk: Path
) -> None:
    directory = LearnerSettings(state_dir=str(small_disk)).snapshot_dir(load_base(past.base).hash)
    settings = replace(site.settings, state_dir=str(small_disk), base=str(past.base))

    def start() -> Process:
        quick = {"FRESHRANK_SNAPSHOT_S": "1", "FRESHRANK_CATALOGUE_S": "2"}
        command = [sys.executable, "-m", "learner"]
        learner = Process(command, {**settings.to_env(), **quick}, site.home / "learner.log")
        site.adopt(learner)
        return learner

    worker, learner = site.start_worker(), start()
    learner.until(lambda: LEARNER_IS_READY in learner.tail(), PATIENCE_S, "its catalogue")
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 40)) as load:
        learner.until(lambda: snapshots.newest(directory) is not None, PATIENCE_S, "a snapshot")
        filler = small_disk / "filler"
        _fill(filler)
        deadline = time.monotonic() + PATIENCE_S
        while learner.is_alive():
            assert time.monotonic() < deadline, learner.tail()
            load.wait(0.5)
        assert learner.stop() == 1
        assert "SnapshotError" in learner.tail()
        assert "No space left on device" in learner.tail()
        assert snapshots.newest(directory) is not None, "the snapshot before is whole"
        filler.unlink()
        restarted = start()
        restarted.until(lambda: "restored snapshot" in restarted.tail(), PATIENCE_S, "to go on from it")
        said = restarted.tail().count("snapshot file")
        restarted.until(lambda: restarted.tail().count("snapshot file") > said, PATIENCE_S, "another one")
    site.settle(worker)


def _fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
