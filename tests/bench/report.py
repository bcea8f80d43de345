"""What a benchmark found: one table to read, one JSON file with every run's figure, and where it was run."""

import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing: every run's value, and the bar its median is held against.

    `bar` is None where nothing is demanded; `at_most` says on which side of it is good.
    """

    row: str
    what: str
    unit: str
    runs: Sequence[float]
    bar: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.runs)

    @property
    def met(self) -> bool | None:
        if self.bar is None:
            return None
        return self.median <= self.bar if self.at_most else self.median >= self.bar


def machine() -> dict[str, object]:
    """The commit, and what it ran on; the load says how far to trust a rate."""
    return {
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
    }


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print the figures as one table."""
    table = Table(title=title)
    for column in ("what", "median", "runs", "bar", "met"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for figure in figures:
        spread = f"{_number(min(figure.runs))}-{_number(max(figure.runs))} ({len(figure.runs)})"
        table.add_row(
            f"[bold]{figure.row}[/bold]: {figure.what}"
            + (f" [dim]{figure.note}[/dim]" if figure.note else ""),
            f"{_number(figure.median)} {figure.unit}",
            spread,
            "" if figure.bar is None else f"{'≤' if figure.at_most else '≥'} {figure.bar:,g}",
            {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[figure.met],
        )
    Console().print(table)


def _number(value: float) -> str:
    """PURE: a number as one reads it.

    >>> _number(120_613.4), _number(1.13249)
    ('120,613', '1.132')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def write(path: Path, before: dict[str, object], figures: Sequence[Figure]) -> None:
    """Write the figures with the machine as it was before and is now."""
    rows = [
        asdict(figure)
        | {"runs": [_finite(run) for run in figure.runs], "median": _finite(figure.median), "met": figure.met}
        for figure in figures
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": before, "load_after": os.getloadavg(), "figures": rows}, indent=1))


def _finite(value: float) -> float | None:
    """What JSON has no number for, because there was nothing to measure, is null."""
    return value if math.isfinite(value) else None


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
