"""SHELL: `freshrank offpolicy`: what each policy of a log is worth, estimated from the other's part of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from learner.off_policy import Exposures, evaluate, on_policy
from schemas.errors import LogDirectoryError
from schemas.events import Click, Impression, UserEvent
from stream.logs import read_events


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--report", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
def offpolicy(directory: Path, target: Path | None) -> None:
    """Estimate each policy's click rate from what the others logged, and compare it with its own.

    DIRECTORY needs impressions with `policy` and propensities, such as a converted Open Bandit log. Policies
    may depend on the position and on time; of those that look at the user the estimates say nothing.
    """
    results = run(directory)
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    Console().print(_table(results))


def run(directory: Path) -> dict[str, Any]:
    """The estimates for every ordered pair of policies, as the report has them.

    Raises:
        LogDirectoryError: the log has fewer than two policies with propensities.
    """
    logs, n_items, n_places = exposures(read_events(directory), str(directory))
    on = {name: on_policy(log) for name, log in logs.items()}
    return {
        "log": directory.name,
        "on_policy": {
            name: {"value": value, "ci95": ci95, "exposures": len(logs[name].clicked)}
            for name, (value, ci95) in on.items()
        },
        "estimates": {
            f"{name} from {other}": msgspec.to_builtins(evaluate(logs[name], logs[other], n_items, n_places))
            for name in logs
            for other in logs
            if name != other
        },
    }


def exposures(events: Iterator[UserEvent], place: str) -> tuple[dict[str, Exposures], int, int]:
    """PURE: what each policy showed, and how many items and places there are.

    Raises:
        LogDirectoryError: fewer than two policies with propensities.
    """
    rows: dict[str, list[tuple[str, str, int, str, float]]] = {}
    clicked: set[tuple[str, str]] = set()
    for event in events:
        if isinstance(event, Click):
            clicked.add((event.request_id, event.item_id))
        elif isinstance(event, Impression) and event.policy is not None:
            rows.setdefault(event.policy, []).extend(
                (event.user_id, event.request_id, shown.position, shown.item_id, shown.propensity)
                for shown in event.items
                if shown.propensity
            )
    if sum(map(bool, rows.values())) < 2:
        raise LogDirectoryError(
            f"{place}: expected propensities of at least two policies, got {sorted(rows)}"
        )
    items = {row[3]: 0 for of in rows.values() for row in of}
    numbers: Mapping[str, int] = {item: number for number, item in enumerate(items)}
    places = 1 + max(row[2] for of in rows.values() for row in of)
    logs = {
        name: Exposures(
            users=np.array([row[0] for row in of]),
            items=np.array([numbers[row[3]] for row in of], np.intp),
            places=np.array([row[2] for row in of], np.intp),
            clicked=np.array([(row[1], row[3]) in clicked for row in of], np.float64),
            propensities=np.array([row[4] for row in of]),
        )
        for name, of in rows.items()
        if of
    }
    return logs, len(items), places


def _table(results: dict[str, Any]) -> Table:
    table = Table(
        "policy", "by", "clicks an exposure", "95 % interval", "relative error", title=results["log"]
    )
    for name, own in results["on_policy"].items():
        table.add_row(name, "its own log", f"{own['value']:.4f}", _span(own["ci95"]), "")
    for pair, estimates in results["estimates"].items():
        table.add_section()
        for estimator, found in estimates.items():
            value, error = f"{found['value']:.4f}", f"{found['relative_error']:.1%}"
            table.add_row(pair, estimator, value, _span(found["ci95"]), error)
    return table


def _span(ci95: tuple[float, float] | None) -> str:
    return "" if ci95 is None else f"{ci95[0]:.4f}–{ci95[1]:.4f}"
