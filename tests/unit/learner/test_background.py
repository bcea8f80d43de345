import threading

import pytest

from learner.background import Background

PATIENCE_S = 60.0


def fail() -> None:
    raise OSError("disk full")


def test_a_job_runs_beside_and_no_second_one_is_taken() -> None:
    release = threading.Event()
    background = Background("test")
    background.start(lambda: release.wait(PATIENCE_S) and None)
    assert background.busy
    assert not background.wait(0)
    with pytest.raises(RuntimeError, match="expected to be idle"):
        background.start(fail)
    release.set()
    assert background.wait(PATIENCE_S)
    assert not background.busy


def test_an_error_surfaces_once_at_the_next_call() -> None:
    background = Background("test")
    background.start(fail)
    with pytest.raises(OSError, match="disk full"):
        background.wait(PATIENCE_S)
    assert background.wait(PATIENCE_S)


def test_an_error_nobody_waited_for_surfaces_at_the_next_start() -> None:
    background = Background("test")
    background.start(fail)
    while background.busy:
        threading.Event().wait(0.001)
    with pytest.raises(OSError, match="disk full"):
        background.start(fail)


def test_without_a_job_there_is_nothing_to_wait_for() -> None:
    assert Background("test").wait(0)
