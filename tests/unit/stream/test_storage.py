import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from schemas import tables
from schemas.codec import encode
from schemas.evaluation import Evaluation
from stream.deadletters import Refusal
from stream.projection import Projection
from stream.storage import DatabaseError, Store
from tests.worker_fakes import manifest


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'new' / 'registry.db'}")
    store.create()
    yield store
    store.close()


def test_checkpoints_come_back_whole_and_newest_first(store):
    older, newer = manifest("aaa", created_ts=1), manifest("bbb", created_ts=2, metrics={"loss": 0.25})
    store.put_model(newer)
    store.put_model(older)
    assert store.models() == [newer, older]
    assert store.models(limit=1) == [newer]


def test_a_model_is_found_by_the_start_of_its_version(store):
    store.put_model(manifest("abc123"))
    store.put_model(manifest("abd456"))
    assert store.models_named("abc") == [manifest("abc123")]
    assert len(store.models_named("ab")) == 2
    assert store.models_named("x") == store.models_named("%") == []


def test_reading_a_topic_again_changes_nothing(store):
    evaluation = Evaluation(
        name="auc_click",
        value=0.6,
        count=10,
        model_version="v",
        window_start=0,
        window_end=1,
        slice={"arm": "online"},
    )
    letter = Refusal("clicks", 0, 7, "not_json", "truncated", 3)
    for _ in range(2):
        store.put_model(manifest("aaa"))
        store.put_evaluation(evaluation, 1, 2)
        store.put_refusal(letter)
    assert len(store.models()) == 1
    assert [row["slice"] for row in store.evaluations_of("v")] == ["arm=online"]
    assert store.refusals() == [letter]


def test_a_write_waits_for_a_database_that_comes_back():
    pauses: list[float] = []
    attempts: list[Store] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    def put(store: Store) -> None:
        attempts.append(store)
        if len(attempts) < 4:
            raise OperationalError("insert", {}, Exception("database is locked"))

    store = Store("sqlite://")
    asyncio.run(Projection(store, sleep).write(put))
    store.close()
    assert len(attempts) == 4
    assert pauses == [0.5, 1.0, 2.0]


def test_a_file_that_was_removed_is_made_anew(tmp_path):
    """SQLite itself goes on writing to a file that nobody can find any more."""
    store = Store(f"sqlite:///{tmp_path / 'registry.db'}")
    projection = Projection(store, asyncio.sleep)
    letters = [Refusal("clicks", 0, number, "not_json", "", 1) for number in range(2)]

    async def write(letter: Refusal) -> None:
        await projection.write(lambda store: store.put_refusal(letter))

    asyncio.run(write(letters[0]))
    for path in tmp_path.iterdir():
        path.unlink()
    asyncio.run(write(letters[1]))
    store.close()
    another = Store(store.url)
    assert another.refusals() == letters[1:]
    another.close()


def test_a_file_that_is_away_for_a_while_is_waited_for(tmp_path):
    path, aside = tmp_path / "registry.db", tmp_path / "aside"
    store = Store(f"sqlite:///{path}")
    letters = [Refusal("clicks", 0, number, "not_json", "", 1) for number in range(2)]
    pauses: list[float] = []

    async def come_back(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            path.rmdir()
            aside.rename(path)

    projection = Projection(store, come_back)

    async def write(letter: Refusal) -> None:
        await projection.write(lambda store: store.put_refusal(letter))

    asyncio.run(write(letters[0]))
    store.close()  # so that all is in the one file
    path.rename(aside)
    path.mkdir()
    asyncio.run(write(letters[1]))
    assert len(pauses) == 2
    assert store.refusals() == letters
    store.close()


def test_a_row_that_no_database_takes_is_left_out(store, caplog):
    """Anybody may write to a topic: a number that is too large must not end the worker, or its history."""
    huge = Evaluation(name="n", value=1.0, count=10**30, model_version="v", window_start=0, window_end=1)
    sound = msgspec.structs.replace(huge, count=1)
    projection = Projection(store)

    async def write() -> None:
        for offset, evaluation in enumerate([huge, sound]):
            await projection.write(partial(_put, evaluation, offset))

    asyncio.run(write())
    assert [row["offset"] for row in store.evaluations_of("v")] == [1]
    assert "a row was left out" in caplog.text


def _put(evaluation: Evaluation, offset: int, store: Store) -> None:
    store.put_evaluation(evaluation, 0, offset)


def test_a_bug_is_not_retried():
    def put(_: Store) -> None:
        raise KeyError("bug")

    store = Store("sqlite://")
    with pytest.raises(KeyError):
        asyncio.run(Projection(store).write(put))
    store.close()


def test_the_versions_of_the_database_make_the_tables_that_are_written(store, tmp_path):
    with create_engine(store.url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_a_registry_of_before_there_were_versions_keeps_its_rows(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with create_engine(url).begin() as connection:
        tables.models.create(connection)
        row = {"model": "default", "version": "aaa", "base": "b", "created_ts": 1, "examples_seen": 9}
        first = encode(manifest("aaa", created_ts=1)).decode()
        connection.execute(tables.models.insert().values(**row, bytes=12, manifest=first))
    with closing(Store(url)) as store:
        store.create()
        assert store.models() == [manifest("aaa", created_ts=1)]


def test_tables_of_a_later_release_are_waited_for_as_any_database_that_says_no(store):
    """A worker that is rolled back goes on serving; who looks at the registry is told."""
    pauses = []

    async def roll_forward(seconds: float) -> None:
        pauses.append(seconds)
        stamp("0001")

    def stamp(version: str) -> None:
        with create_engine(store.url).begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": version})

    stamp("9999")
    with pytest.raises(DatabaseError, match=r"of this release or of one before, got: .*9999"):
        store.create()
    asyncio.run(Projection(store, sleep=roll_forward).write(lambda store: store.put_model(manifest("aaa"))))
    assert (len(pauses), store.models()) == (1, [manifest("aaa")])


def test_workers_that_start_together_share_a_new_file(tmp_path):
    together = threading.Barrier(4)

    def open_new(number: int) -> None:
        store = Store(f"sqlite:///{tmp_path / f'{number}.db'}")
        together.wait()
        store.create()
        store.close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            list(pool.map(open_new, [number] * 4))
