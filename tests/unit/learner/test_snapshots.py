import logging
import uuid
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from learner import snapshots
from schemas.errors import SnapshotError


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


@pytest.fixture(params=["path", "url", "memory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    places = {
        "path": str(tmp_path / "a" / "b"),
        "url": f"file://{tmp_path}/c",
        "memory": f"memory://{uuid.uuid4().hex}/d",
    }
    return places[request.param]


def test_an_empty_directory_has_none(directory: str) -> None:
    assert snapshots.newest(directory) is None


def test_the_newest_comes_back_whole(directory: str) -> None:
    for number in range(12):
        written = snapshots.write(directory, [b"\n", bytes([number])], {"0": number})
    assert snapshots.newest(directory) == (b"\n\x0b", written)
    assert written.offsets == {"0": 11}


def test_only_the_newest_three_are_kept_and_nothing_lies_aside(tmp_path: Path) -> None:
    for number in range(5):
        snapshots.write(str(tmp_path), [b"x"], {"0": number})
    assert [path.name for path in files(tmp_path)] == [f"snapshot-{n:012d}" for n in (3, 4, 5)]


class Overtaken(MemoryFileSystem):
    """A learner adds snapshots between the listing and the reading, and the one listed last is deleted."""

    protocol = "overtaken"
    coming = [b"newer", b"newest"]

    def open(self, path: str, mode: str = "rb", **options: object) -> object:
        if mode == "rb" and self.coming:
            for _ in range(snapshots.KEEP):
                snapshots.write("overtaken://d", [self.coming[0]], {"0": 2})
            self.coming.pop(0)
        return super().open(path, mode, **options)


def test_one_that_is_deleted_before_it_is_read_is_looked_for_again() -> None:
    fsspec.register_implementation("overtaken", Overtaken)
    snapshots.write("overtaken://d", [b"old"], {"0": 1})
    found = snapshots.newest("overtaken://d")
    assert found is not None and found[0] == b"newest"


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "header"])
def test_a_damaged_one_is_passed_over_with_a_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound = snapshots.write(str(tmp_path), [b"so", b"und"], {"0": 1})
    snapshots.write(str(tmp_path), [b"damaged"], {"0": 2})
    content = files(tmp_path)[-1].read_bytes()
    broken = {
        "truncate": content[:-3],
        "flip": content[:-1] + b"?",
        "empty": b"",
        "header": b"\xff" + content,
    }
    files(tmp_path)[-1].write_bytes(broken[damage])
    with caplog.at_level(logging.WARNING):
        assert snapshots.newest(str(tmp_path)) == (b"sound", sound)
    assert "trying the one before" in caplog.text


def test_a_crash_before_the_rename_leaves_the_one_before(tmp_path: Path) -> None:
    sound = snapshots.write(str(tmp_path), [b"so", b"und"], {"0": 1})
    (tmp_path / "snapshot-000000000002.partial").write_bytes(b"half")
    assert snapshots.newest(str(tmp_path)) == (b"sound", sound)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match="file/below"):
        snapshots.write(str(tmp_path / "file" / "below"), [], {})
