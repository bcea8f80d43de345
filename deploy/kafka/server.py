"""SHELL: one real Apache Kafka broker on this machine, from Maven Central, in KRaft mode.

`python deploy/kafka/server.py` (= `make kafka`) runs it in the foreground; the tests start it through
`KafkaServer`. Needs Java 17 and Maven, no container.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from schemas.errors import BrokerError
from stream.process import HOST, ServerProcess, free_port

POM = Path(__file__).with_name("pom.xml")
JARS = POM.parent / "target" / "dependency"
CLUSTER_ID = "ZnJlc2hyYW5rLXRlc3QtMQ"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"
RESOLVE_S, FORMAT_S, START_S, STOP_S = 300.0, 60.0, 60.0, 20.0

CONFIG = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
"""

SECURE = """\
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port},SASL://{host}:{sasl_port},TLS://{host}:{tls_port}
advertised.listeners=PLAINTEXT://{host}:{port},SASL://{host}:{sasl_port},TLS://{host}:{tls_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,TLS:SSL
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.tls.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl.scram-sha-512.sasl.jaas.config={login_module} required;
"""


def resolve() -> Path:
    """Return the directory of Kafka's jars, fetching them with Maven when the pom is newer.

    Raises:
        BrokerError: Java or Maven is missing, or Maven Central cannot be reached.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise BrokerError(f"real Kafka: expected `{tool}` on the path, got nothing")
    if not JARS.is_dir() or JARS.stat().st_mtime < POM.stat().st_mtime:
        shutil.rmtree(JARS, ignore_errors=True)
        _run(["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"], RESOLVE_S)
        JARS.touch()
    return JARS


def version() -> str:
    """Return the version of the resolved Kafka."""
    return next(JARS.glob("kafka-clients-*.jar")).stem.removeprefix("kafka-clients-")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a broker needs to be asked for, and to ask for, credentials.

    keystore: PEM file of its key (PKCS#8) and certificates; authority: PEM file of who signs its clients'.
    """

    keystore: Path
    authority: Path
    username: str
    password: str


class KafkaServer:
    """A broker that is its own controller; it keeps its ports and its data over kill and start.

    The directory is the caller's: it must be empty at first, and the caller removes it. With an identity it
    listens twice more: on `sasl_port` with TLS and SCRAM, on `tls_port` with TLS and clients' certificates.
    """

    def __init__(self, directory: Path, identity: Identity | None = None) -> None:
        jars = resolve()
        self.port, self.sasl_port, self.tls_port = free_port(), free_port(), free_port()
        self._java = ["java", "-cp", f"{jars}/*", "-Dlog4j2.level=WARN"]
        self._config = directory / "server.properties"
        self._config.write_text(self._properties(directory / "data", identity))
        users = [] if identity is None else ["--add-scram", _scram(identity)]
        format_command = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._config)]
        _run([*self._java, *format_command, *users], FORMAT_S)
        fast_start = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = [*self._java, *fast_start, "kafka.Kafka", str(self._config)]
        self._server = ServerProcess(command, self.port, directory / "output.log")

    def _properties(self, data: Path, identity: Identity | None) -> str:
        """The later of two lines about one property counts."""
        ports = {"port": self.port, "sasl_port": self.sasl_port, "tls_port": self.tls_port}
        template = CONFIG if identity is None else CONFIG + SECURE
        files = {} if identity is None else {"keystore": identity.keystore, "authority": identity.authority}
        place = {"host": HOST, "controller_port": free_port(), "data": data}
        return template.format(login_module=SCRAM_LOGIN, **place, **ports, **files)

    @property
    def address(self) -> str:
        """Where Kafka clients connect, `host:port`."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start the broker, again after `kill` or `stop`, and return when it is reachable."""
        self._server.start(START_S)

    def stop(self) -> None:
        """Shut the broker down in order."""
        self._server.stop(STOP_S)

    def kill(self) -> None:
        """End the broker as a crash would."""
        self._server.kill()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let the broker hold still while the block runs: its connections stay, and new ones are accepted."""
        pid = self._server.pid
        if pid is None:
            raise BrokerError("broker: expected it to run, got none to hold")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def _scram(identity: Identity) -> str:
    return f"SCRAM-SHA-512=[name={identity.username},password={identity.password}]"


def _run(command: list[str], timeout_s: float) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise BrokerError(f"{command[0]}: expected it to end within {timeout_s:g} s, it did not") from None
    if done.returncode:
        raise BrokerError(
            f"{' '.join(command)}: expected success, got exit status {done.returncode}:\n"
            f"{(done.stdout + done.stderr).strip()[-2_000:]}"
        )


@click.command()
def main() -> None:
    """Run a fresh Apache Kafka in the foreground until Ctrl-C."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with tempfile.TemporaryDirectory(prefix="freshrank-kafka-") as directory:
        try:
            server = KafkaServer(Path(directory))
            server.start()
        except BrokerError as error:
            raise click.ClickException(str(error)) from None
        click.echo(f"Apache Kafka {version()} on {server.address}; Ctrl-C ends it and removes its data.")
        click.echo(f"export FRESHRANK_BROKER={server.address}")
        ended.wait()
        server.stop()


if __name__ == "__main__":
    main()
