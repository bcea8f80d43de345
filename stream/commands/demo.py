"""SHELL: `freshrank demo`: the whole loop on real data, on this machine."""

import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec
from rich.console import Console
from rich.table import Table

from schemas.errors import FreshrankError
from stream.broker import NAME
from stream.demo.picture import draw
from stream.demo.plan import Plan
from stream.demo.report import report
from stream.demo.stages import Played, played
from stream.demo.tryout import instructions

INTERRUPTED, TERMINATED = 130, 143
LOOK_EVERY_S = 1.0

POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running until Ctrl-C, and say how to try it.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Directory of report.json and curves.png.",
)
@click.option(
    "--users",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=Plan.users,
    show_default=True,
    help="Share of the sample's users.",
)
@click.option(
    "--rate", type=POSITIVE, default=Plan.rate, show_default=True, help="Events a second of the replay."
)
def demo(keep: bool, out: Path, users: float, rate: float) -> None:
    """Broker, base, worker, learner, and a replay of real data, measured from click to answer."""
    signal.signal(signal.SIGTERM, _terminate)
    console = Console()
    try:
        _run(Plan(users=users, rate=rate), out, keep, console)
    except FreshrankError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started has been ended")
        sys.exit(INTERRUPTED)


def _terminate(*_: Any) -> NoReturn:
    sys.exit(TERMINATED)


def _run(plan: Plan, out: Path, keep: bool, console: Console) -> None:
    began = time.monotonic()
    with played(plan, console) as done:
        found = report(done.seen, plan, NAME, time.monotonic() - began)
        _write(out, found, done)
        _show(console, found, out)
        if keep:
            _keep(console, done)


def _write(out: Path, found: dict[str, Any], done: Played) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    title = (
        f"freshrank demo: {found['events']:,} events of KuaiRand, {found['checkpoints_served']} models served"
    )
    draw(done.seen, title, out / "curves.png")


def _show(console: Console, found: dict[str, Any], out: Path) -> None:
    freshness, auc = found["freshness_s"], found["auc"]
    table = Table(title="freshrank demo", show_header=False)
    table.add_row("events → labels", f"{found['events']:,} → {found['labels']:,}")
    table.add_row(
        "checkpoints", f"{found['checkpoints_published']} published, {found['checkpoints_served']} served"
    )
    table.add_row("click → answer that learned it", f"p50 {freshness['p50']} s, p99 {freshness['p99']} s")
    hops = (f"{hop} {of['p50']} s" for hop, of in found["stages_s"].items())
    table.add_row("  of which (p50)", ", ".join(hops))
    table.add_row("AUC of clicks", f"online {auc['online']}, frozen base {auc['frozen']}")
    table.add_row("written", f"{out / 'report.json'}, {out / 'curves.png'}")
    console.print(table)
    console.print("Next: `freshrank demo --keep` leaves it running, to send it events of your own;")
    console.print("`freshrank evaluate --help` compares models on a log, without a broker.")


def _keep(console: Console, done: Played) -> None:
    """Wait for Ctrl-C, which is how this ends well."""
    text = instructions(done.settings.broker, done.loop.url, done.items)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print("Ctrl-C ends everything.")
    try:
        while True:
            done.loop.check()
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        console.print("ending…")
