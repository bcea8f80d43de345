"""A real PostgreSQL of one test's own, from the binaries of this machine; it can be killed and started."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.process import HOST, free_port, is_listening

USER, PASSWORD = "postgres", "stapled-battery"
_TIMEOUT_S = 60.0


def is_here() -> bool:
    """Whether this machine has the binaries."""
    return all(shutil.which(tool) for tool in ("initdb", "pg_ctl"))


class Postgres:
    """A server with a password, which the URL holds."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "data"
        self._port = free_port()
        secret = directory / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
        _run("initdb", "-D", str(self._data), *options)

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}:{PASSWORD}@{HOST}:{self._port}/postgres"

    def start(self) -> None:
        options = f"-h {HOST} -p {self._port} -k {self._data} -F"
        log = self._data.parent / "log"
        _run("pg_ctl", "-D", str(self._data), "-o", options, "-l", str(log), "-w", "start")
        assert is_listening(HOST, self._port)

    def kill(self) -> None:
        """End it at once, in the midst of what it does; nothing happens if it does not run."""
        if is_listening(HOST, self._port):
            _run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server that runs; it and its data are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="freshrank-postgres-") as directory:
        if os.getuid() == 0:
            shutil.chown(directory, _owner())
        server = Postgres(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _owner() -> str | None:
    """As whom it runs: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _run(*command: str) -> None:
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, user=_owner()
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
