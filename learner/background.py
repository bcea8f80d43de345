"""SHELL: one job at a time beside the training thread."""

import threading
from collections.abc import Callable


class Background:
    """Runs a job on a thread of its own. An error in it is raised here, at the next call.

    While a job runs no other is taken: ask `busy` first. There is no queue that could grow while a broker
    or a disk is slow.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Callable[[], None]) -> None:
        """Run a job; raises the error of the one before, if nobody has heard of it yet."""
        if self.busy:
            raise RuntimeError(f"{self._name}: expected to be idle, got a second job")
        self._raise_error()
        # A daemon: a broker that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, args=(job,), name=self._name, daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the running job, and raise its error; False if it takes longer."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self.busy:
            return False
        self._raise_error()
        return True

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # handed to the owner, whatever it is
            self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
