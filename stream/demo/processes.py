"""SHELL: worker and learner as processes of their own, over one broker and one state directory."""

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.process import ChildProcess
from stream.settings import Settings

READY_S = 90.0
STOP_S = 15.0
ANSWER_S = 2.0

LEARNER_IS_READY = "catalogue:"
"""What the learner logs when it begins to take labels."""

WORKER = (sys.executable, "-m", "faust", "-A", "stream", "worker", "--loglevel", "info")
LEARNER = (sys.executable, "-m", "learner")


class Loop:
    """The two processes of the loop."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        # One thread each: two cores are shared by three busy processes.
        environment = {**settings.to_env(), "OMP_NUM_THREADS": "1"}
        self.url = f"http://{settings.web_host}:{settings.web_port}"
        self._worker = ChildProcess(WORKER, logs / "worker.log", environment)
        self._learner = ChildProcess(LEARNER, logs / "learner.log", environment)

    def start(self) -> None:
        """Start both and return when they wait for events.

        Raises:
            ProcessError: one ends early, or is not ready in time; with its last output.
        """
        self._worker.start()
        self._learner.start()
        self._learner.wait_until(
            lambda: self._learner.has_said(LEARNER_IS_READY), "it to read the catalogue", READY_S
        )
        self._worker.wait_until(lambda: answers(self.url + "/readyz"), "it to be ready", READY_S)

    def check(self) -> None:
        """Raise ProcessError if one of them has ended."""
        self._worker.check()
        self._learner.check()

    def stop(self) -> None:
        """End both."""
        self._learner.stop(STOP_S)
        self._worker.stop(STOP_S)


@contextmanager
def running(settings: Settings, logs: Path) -> Iterator[Loop]:
    """Yield the loop, ready for events; it is ended however the block ends."""
    loop = Loop(settings, logs)
    try:
        loop.start()
        yield loop
    finally:
        loop.stop()


def answers(url: str) -> bool:
    """Return whether a page is there, with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310 - a loopback address of ours
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
