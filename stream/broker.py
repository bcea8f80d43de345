"""SHELL: an embedded Kafka-compatible broker, for a laptop, the demo and the tests."""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from schemas.errors import BrokerError
from stream.process import HOST, ServerProcess, free_port

NAME = "noida-db"
START_S = 30.0


class EmbeddedBroker:
    """The broker of the package `noida-db` on a free port, as a context manager.

    For development: it keeps data in memory and flushes it lazily, so that a `kill -9` of it loses the
    tail of every topic. Its directory is removed on exit; it does not outlive the process that started it.

        with EmbeddedBroker() as broker:
            KafkaProducer(bootstrap_servers=broker.address)
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._server: ServerProcess | None = None

    @property
    def address(self) -> str:
        """Where Kafka clients connect, `host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._server.pid if self._server else None

    def start(self) -> None:
        """Start the broker and return when it is reachable.

        Raises:
            BrokerError: it is not installed, or did not come up; with its last output.
        """
        binary = _binary()
        self._directory = tempfile.TemporaryDirectory(prefix="freshrank-broker-")
        home = Path(self._directory.name)
        # The data directory is one level down: the broker also writes beside it.
        options = ["--data-dir", str(home / "data"), "--only", "kafka", "--kafka-port", str(self.port)]
        self._server = ServerProcess([str(binary), "start", *options], self.port, home / "output.log")
        try:
            self._server.start(START_S)
        except BrokerError:
            self.stop()
            raise

    def stop(self) -> None:
        """End the broker and remove its data; nothing happens if it does not run."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def __enter__(self) -> "EmbeddedBroker":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _binary() -> Path:
    """Return the broker's binary, made executable: not every installer keeps the mode."""
    package = find_spec("noida_db")
    if package is None or package.origin is None:
        raise BrokerError(
            f"embedded broker: expected the package {NAME} to be installed for {sys.executable}, got nothing"
        )
    binary = Path(package.origin).with_name(NAME)
    if not binary.exists():
        raise BrokerError(f"embedded broker: expected the binary {binary}, got nothing")
    mode = binary.stat().st_mode
    if not mode & 0o100:
        binary.chmod(mode | 0o755)
    return binary
