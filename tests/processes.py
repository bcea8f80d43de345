"""Real processes for the tests: started, waited for with a bound, and always ended."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from stream.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
TAIL = 6_000

T = TypeVar("T")


class Process:
    """A child process with its output in a file, so that a test that fails can show it."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._begins = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait(10)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; returns the exit status."""
        return self._process.wait(timeout_s)

    def stop(self, timeout_s: float = 30.0) -> int:
        """Ask it to end, kill it if it does not, and return the exit status."""
        if self.is_alive():
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"expected an end within {timeout_s} s of SIGTERM\n{self.tail()}") from None

    def output(self) -> str:
        """All that it wrote, less what processes before it wrote to the same file."""
        return self.log.read_bytes()[self._begins :].decode(errors="replace")

    def tail(self) -> str:
        """The end of the output, for who reads of a failure; a test looks in `output`."""
        return self.output()[-TAIL:]

    def until(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        """Return what `look` finds; fails, with the output, if the process ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            assert self.is_alive(), f"ended while waiting for {what}\n{self.tail()}"
            time.sleep(0.05)
        raise AssertionError(f"{timeout_s} s passed without {what}\n{self.tail()}")


class Worker(Process):
    """`faust -A stream worker`."""

    def __init__(self, settings: Settings, log: Path) -> None:
        command = [sys.executable, "-m", "faust", "-A", "stream", "worker", "-l", "info"]
        super().__init__(command, settings.to_env(), log)
        self._token = settings.web_token
        self._url = f"http://{settings.web_host}:{settings.web_port}"

    def get(self, path: str, timeout_s: float = 30.0, token: str | None = None) -> tuple[int, bytes]:
        """Status and body of a page; status 0 where nobody answers. The token: the worker's own, or this."""
        token = self._token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            request = urllib.request.Request(self._url + path, headers=headers)
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def get_json(self, path: str) -> Any:
        status, body = self.get(path)
        assert status == 200, (status, body)
        return json.loads(body)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        self.until(lambda: self.get("/readyz")[0] == 200, timeout_s, "readiness")


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """End the process however the block ends."""
    try:
        yield process
    finally:
        if process.is_alive():
            process.stop()
