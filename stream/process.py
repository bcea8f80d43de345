"""SHELL: a child process that serves a port: started, waited for, and ended with its parent."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from schemas.errors import BrokerError

HOST = "127.0.0.1"
TAIL_BYTES = 4_000

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


class ServerProcess:
    """A command that should come to listen on `port` of the loopback address; its output goes to `log`.

    It may be started again after it was stopped or killed. On Linux the kernel kills it when the thread
    that started it ends, however it ends: so start it from a thread that outlives the need for it.
    """

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.port = port
        self._command = list(command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process else None

    def start(self, timeout_s: float) -> None:
        """Start the command and return when its port accepts connections.

        Raises:
            BrokerError: it cannot be started, ends early or does not listen in time; with its last output.
        """
        with self._log.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - a command of ours
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches us first; we then stop it in order
                    preexec_fn=_die_with(os.getpid()),
                )
            except OSError as error:
                raise BrokerError(f"{self._command[0]}: expected to start it, got: {error}") from None
        self._wait_until_listening(self._process, timeout_s)

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

    def _wait_until_listening(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_listening(HOST, self.port):
            status = process.poll()
            if status is not None or time.monotonic() > deadline:
                self.kill()
                came = f"exit status {status}" if status is not None else "nothing"
                raise BrokerError(
                    f"{self._command[0]}: expected it to listen on {HOST}:{self.port} "
                    f"within {timeout_s:g} s, got {came}; its last output:\n{self._tail()}"
                )
            time.sleep(0.05)

    def _tail(self) -> str:
        return self._log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()


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
