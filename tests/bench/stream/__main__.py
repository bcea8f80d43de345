"""SHELL: `python -m tests.bench.stream`: the stream's figures, against their bars, on Apache Kafka."""

import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from deploy.kafka.server import KafkaServer
from tests.bench import report
from tests.bench.stream import job
from tests.bench.stream.rows import RIVALS, ROWS, Bench

OUT = Path("build/bench-stream.json")
REQUIREMENTS = Path(__file__).with_name("rivals.txt")
SHORT = 0.1


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice(list(ROWS)), help="Only these rows; may be repeated."
)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Of every pair.")
@click.option("--short", is_flag=True, help=f"{SHORT:g} of the messages, one run of each pair.")
def main(only: tuple[str, ...], repeats: int, short: bool) -> None:
    """Measure the stream worker: one core for it, broker and producer on the other."""
    console, figures, before = Console(), list[report.Figure](), report.machine()
    if not only or "throughput" in only:
        _install_rivals(console)
    with tempfile.TemporaryDirectory(prefix="freshrank-bench-") as directory:
        job.stay_on(job.OTHER_CORE)
        server = KafkaServer(Path(directory))
        server.start()
        try:
            share, repeats = (SHORT, 1) if short else (1.0, repeats)
            bench = Bench(broker=server.address, home=Path(directory), share=share, repeats=repeats)
            for name in only or ROWS:
                console.print(f"{name} …")
                for figure in ROWS[name](bench):
                    console.print(f"  {figure.what}: {figure.median:,.4g} {figure.unit}")
                    figures.append(figure)
        finally:
            server.stop()
    report.write(OUT, before, figures)
    report.show("make bench-stream", figures)


def _install_rivals(console: Console) -> None:
    """Make the environment of the frameworks that we are compared with, once."""
    if RIVALS.exists():
        return
    console.print(f"{REQUIREMENTS.name} → {RIVALS.parent.parent}")
    subprocess.run([sys.executable, "-m", "venv", str(RIVALS.parent.parent)], check=True)
    install = [
        str(RIVALS),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "-r",
        str(REQUIREMENTS),
    ]
    subprocess.run(install, check=True)


if __name__ == "__main__":
    main()
