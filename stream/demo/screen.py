"""SHELL: what a demo shows while it runs: a bar, and a table that is drawn anew from what was measured."""

import math
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream.demo.measurements import Measurements, Percentiles

DRAWS_PER_S = 2
LINE_EVERY_S = 15.0
"""Where there is no terminal to draw on, a line now and then."""


class Screen:
    """Shows the replay, as a context manager; call `sent` after every event."""

    def __init__(self, console: Console, seen: Measurements, total: int) -> None:
        self._console = console
        self._seen = seen
        columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("replay", total=total)
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=DRAWS_PER_S, transient=True
        )
        self._line_at = time.monotonic() + LINE_EVERY_S

    def sent(self, events: int = 1) -> None:
        """Move the bar."""
        self._progress.advance(self._task, events)
        if not self._console.is_terminal and time.monotonic() > self._line_at:
            self._line_at = time.monotonic() + LINE_EVERY_S
            self._console.print(" · ".join(f"{name} {value}" for name, value in rows(self._seen)))

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _render(self) -> Group:
        table = Table(show_header=False)
        for row in rows(self._seen):
            table.add_row(*row)
        return Group(self._progress, table)


def rows(seen: Measurements) -> list[tuple[str, str]]:
    """PURE: name and value of everything that is worth watching."""
    events, labels = seen.rates
    return [
        ("events/s", f"{events:,.0f}"),
        ("labels/s", f"{labels:,.0f}"),
        ("serving version", seen.version or "– (popularity, until the first checkpoint)"),
        ("checkpoints", f"{seen.published} published, {len(seen.served)} seen in answers"),
        ("click → answer", seconds(seen.freshness(recent=True))),
        ("rolling AUC", f"online {_auc(seen, 'online')}, frozen base {_auc(seen, 'frozen')}"),
    ]


def seconds(found: Percentiles) -> str:
    """PURE: percentiles in words."""
    return "–" if math.isnan(found.p50) else f"p50 {found.p50:.2f} s, p99 {found.p99:.2f} s"


def _auc(seen: Measurements, arm: str) -> str:
    value = seen.last_auc(arm)
    return "–" if math.isnan(value) else f"{value:.4f}"
