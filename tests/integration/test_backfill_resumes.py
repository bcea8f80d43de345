"""A training that was killed goes on, and ends with the base of one that nobody disturbed."""

import sys
from pathlib import Path

import pytest

from learner.halfway import FILE, Halfway
from tests.integration.backfill_process import train
from tests.processes import Process, running

PATIENCE_S = 120.0


class Power(Exception):
    """It went out."""


class Dying(Halfway):
    """Dies right after it has kept so many epochs."""

    def __init__(self, directory: Path, epochs: int) -> None:
        super().__init__(directory)
        self._left = epochs

    def keep(self, payload: bytes) -> None:
        super().keep(payload)
        self._left -= 1
        if not self._left:
            raise Power


def begun(directory: Path, seed: int = 0) -> tuple[bytes, int]:
    """The base, and the epoch that was the first to be trained."""
    epochs: list[int] = []

    def progress(stage: str, done: int, _total: int) -> None:
        if stage == "train base":
            epochs.append(done)

    return train(Halfway(directory), progress, seed), epochs[0]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return train(Halfway(tmp_path_factory.mktemp("undisturbed")))


def test_a_training_goes_on_after_the_epoch_that_was_kept(undisturbed: bytes, tmp_path: Path) -> None:
    for epochs in (1, 3):
        with pytest.raises(Power):
            train(Dying(tmp_path, epochs))
    assert begun(tmp_path) == (undisturbed, 1 + 3)


def test_what_was_kept_of_another_training_or_is_damaged_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(Power):
        train(Dying(tmp_path, 1))
    path = tmp_path / FILE
    payload, first = begun(tmp_path, seed=1)
    assert first == 0
    path.write_bytes(path.read_bytes()[:1_000])
    assert begun(tmp_path, seed=1) == (payload, 0)


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_process_that_is_killed_goes_on_where_it_was(undisturbed: bytes, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.backfill_process", str(tmp_path)]
    with running(Process(command, {}, tmp_path / "log")) as first:
        first.until(lambda: (tmp_path / FILE).is_file(), PATIENCE_S, "an epoch")
        first.kill()
    payload, epoch = begun(tmp_path)
    assert epoch > 0
    assert payload == undisturbed
