"""SHELL: child processes: started, watched, waited for, and ended with their parent."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from schemas.errors import BrokerError, ProcessError

HOST = "127.0.0.1"
TAIL_BYTES = 4_000
LOOK_S = 0.05
"""Between two looks at a process that is waited for."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Return whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


class ChildProcess:
    """A command whose output goes to `log`. It may be started again after it was stopped or killed.

    On Linux the kernel kills it when the thread that started it ends, however it ends: so start it from a
    thread that outlives the need for it.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment` is added to that of this process."""
        self._command = list(command)
        self._log = log
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the command.

        Raises:
            ProcessError: it cannot be started.
        """
        with self._log.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - a command of ours
                    self._command,
                    env={**os.environ, **self._environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches us first; we then stop it in order
                    preexec_fn=_die_with(os.getpid()),
                )
            except OSError as error:
                raise ProcessError(f"{self._command[0]}: expected to start it, got: {error}") from None

    def check(self) -> None:
        """Raise ProcessError, with its last output, if the process has ended by itself."""
        status = self._process.poll() if self._process else None
        if status is not None:
            raise self._failure("it running", f"exit status {status}")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Return when `ready` says so; `what` describes that, for the error.

        Raises:
            ProcessError: the process ends before, or it takes too long; with its last output.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise self._failure(f"{what} within {timeout_s:g} s", "nothing")
            time.sleep(LOOK_S)

    def has_said(self, text: str) -> bool:
        """Return whether `text` stands in the output."""
        return text.encode() in self._log.read_bytes()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the process to end, and kill it if it has not by then; nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _failure(self, expected: str, came: str) -> ProcessError:
        tail = self._log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        return ProcessError(
            f"{' '.join(self._command)}: expected {expected}, got {came}; its last output:\n{tail}"
        )


class ServerProcess:
    """A broker: a child process that should come to listen on `port` of the loopback address."""

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.port = port
        self._child = ChildProcess(command, log)

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._child.pid

    def start(self, timeout_s: float) -> None:
        """Start the command and return when its port accepts connections.

        Raises:
            BrokerError: it cannot be started, ends early or does not listen in time; with its last output.
        """
        try:
            self._child.start()
            self._child.wait_until(
                lambda: is_listening(HOST, self.port), f"it to listen on {HOST}:{self.port}", timeout_s
            )
        except ProcessError as error:
            self.kill()
            raise BrokerError(str(error)) from None

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the process to end, and kill it if it has not by then; nothing happens if it does not run."""
        self._child.stop(timeout_s)

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would."""
        self._child.kill()


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return what a child runs before its command: being killed when `parent` ends, whatever ends it."""
    libc = _libc
    if libc is None:
        return None

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call above
            os._exit(1)

    return tie
