"""A database that is locked, goes away or is new: serving and learning go on, and then every row is there."""

import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.codec import decode, encode
from schemas.events import Impression, Item, UserEvent
from schemas.recommendation import Recommendation
from schemas.topics import DEAD_LETTERS, ITEMS
from stream.deadletters import refusal
from stream.replay import open_producer
from stream.storage import Store
from tests.e2e.conftest import Past
from tests.faults.conftest import Site, checkpoints, eventually, gauge
from tests.faults.expected import read_topic
from tests.faults.learned import assert_learned_once
from tests.faults.load import Load, Message, as_it_is, happenings, playing
from tests.postgres import Postgres, is_here, postgres
from tests.synthetic import World

pytestmark = [pytest.mark.faults, pytest.mark.kafka, pytest.mark.timeout(600)]

ANSWER_S = 3.0
"""In which a page comes on a busy machine; an event loop that waits for SQLite stands still for 5 s."""

FAILED = "database: write failed, trying again"
MANY = 100_000
CHOICE = 20
"""Items are enough to choose from: each is read by a text encoder."""


def poison_beside(event: UserEvent) -> list[Message]:
    """The event, and beside every fifth slate one that is refused: it is to be written to the database."""
    topic, key, value = as_it_is(event)[0]
    refused = isinstance(event, Impression) and event.request_id.endswith(("0", "5"))
    return [(topic, key, b"?"), (topic, key, value)] if refused else [(topic, key, value)]


class Loop:
    """A worker of all roles and a learner, with a catalogue to choose from."""

    def __init__(self, site: Site, base: Path, items: Sequence[Item], database: str) -> None:
        roles = ("label", "score", "evaluate")
        site.settings = replace(site.settings, roles=roles, base=str(base), database=database)
        self.site, self.base, self.database = site, base, database
        with open_producer(site.settings) as producer:
            for item in items[:CHOICE]:
                producer.send(site.topic(ITEMS.name), encode(item), item.item_id.encode())
            producer.flush(timeout=60)
        self.worker, self.learner = site.start_loop(base, FRESHRANK_SNAPSHOT_S="2")

    def begun(self) -> bool:
        """Whether everything has been seen to work."""
        return (
            bool(self.indexed()) and gauge(self.worker, "freshrank_checkpoints_total", outcome="served") > 0
        )

    def endures(self, load: Load, seconds: int) -> None:
        """Labels, checkpoints and answers go on, and the event loop turns."""
        before, failures = self._progress(), self.worker.log.read_text().count(FAILED)
        for _ in range(seconds):
            load.wait(1.0)
            self._assert_answers()
        eventually(
            lambda: all(now > then for now, then in zip(self._progress(), before, strict=True)),
            self.worker,
            "labels made, learned and served",
        )
        assert self.worker.log.read_text().count(FAILED) > failures, "nothing was written meanwhile"

    def _progress(self) -> tuple[float, ...]:
        served = gauge(self.worker, "freshrank_checkpoints_total", outcome="served")
        return gauge(self.worker, "freshrank_labels_total"), checkpoints(self.learner), served

    def _assert_answers(self) -> None:
        began = time.monotonic()
        assert self.worker.get("/healthz")[0] == 200
        status, body = self.worker.get("/recommendations/user-1")
        assert status == 200, body
        assert decode(Recommendation, body).model_version is not None
        assert time.monotonic() - began < ANSWER_S

    def indexed(self) -> set[str]:
        """Places of the refused messages that the database knows."""
        with closing(Store(self.database)) as store:
            store.create()
            return {entry.place for entry in store.refusals(limit=MANY)}

    def registered(self) -> set[str]:
        """Versions that the database knows."""
        with closing(Store(self.database)) as store:
            return {manifest.version for manifest in store.models(limit=MANY)}

    def published(self) -> set[str]:
        said = self.learner.log.read_text().split("published default/")[1:]
        return {text.partition(":")[0] for text in said}

    def refused(self, since_ms: int = 0) -> set[str]:
        """Places of the messages of which a dead letter was written since then."""
        letters = read_topic(self.site.settings, DEAD_LETTERS.name)
        found = [refusal(m.value or b"", dict(m.headers)) for m in letters if m.timestamp >= since_ms]
        return {entry.place for entry in found if entry is not None}

    def settle(self) -> None:
        """All labels are as they should be, and each is in the weights once."""
        self.site.settle(self.worker)
        assert_learned_once(self.site, self.learner, self.base)


def test_sqlite_is_locked_away_and_removed(site: Site, planted: World, past: Past) -> None:
    path = site.home / "database" / "registry.db"
    loop = Loop(site, past.base, planted.items, f"sqlite:///{path}")
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 15), poison_beside) as load:
        eventually(loop.begun, loop.worker, "a loop that works")
        with locked(path):
            loop.endures(load, 12)
        with away(path.parent):
            loop.endures(load, 8)
        load.wait(2.0)
        letters, models = loop.refused(), loop.published()
        eventually(lambda: loop.indexed() >= letters, loop.worker, "every row of before")
        eventually(lambda: loop.registered() >= models, loop.worker, "every model of before")
        shutil.rmtree(path.parent)
        path.parent.mkdir()
        removed_ms = time.time_ns() // 1_000_000
        loop.endures(load, 3)
    loop.settle()
    since_ms = removed_ms + 1_000
    eventually(lambda: loop.indexed() >= loop.refused(since_ms), loop.worker, "every row since it is new")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes to the database, and takes its time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def away(directory: Path) -> Iterator[None]:
    """Something else is where the database was; then it is back."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    directory.touch()
    yield
    directory.unlink()
    aside.rename(directory)


@pytest.fixture
def server_of_rows() -> Iterator[Postgres]:
    if not is_here():
        pytest.skip("no PostgreSQL on this machine (`initdb`, `pg_ctl`): only SQLite is tested")
    with postgres() as server:
        yield server


def test_postgres_is_killed_and_comes_back(
    site: Site, planted: World, past: Past, server_of_rows: Postgres
) -> None:
    loop = Loop(site, past.base, planted.items, server_of_rows.url)
    with playing(site.settings, site.settings.prefix, happenings(planted, 300, 15), poison_beside) as load:
        eventually(loop.begun, loop.worker, "a loop that works")
        server_of_rows.kill()
        loop.endures(load, 8)
        server_of_rows.start()
        load.wait(2.0)
    loop.settle()
    eventually(lambda: loop.indexed() >= loop.refused(), loop.worker, "every row")
    eventually(lambda: loop.registered() >= loop.published(), loop.worker, "every model")
