"""SHELL: progress of work that comes in named stages: bars on a terminal, lines in a file."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

TOLD = 10
"""Where nothing can be drawn over, a stage is told of so many times."""


class StageBars:
    """A bar for each stage, as a context manager; call it with a stage, what is done of it, and its total."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._console = console
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if not self._console.is_terminal:
            self._tell(stage, done, total)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def __enter__(self) -> "StageBars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def _tell(self, stage: str, done: int, total: int) -> None:
        """Print a line when a further tenth of the stage is done."""
        reached = TOLD * done // total if total else TOLD
        if reached > self._told.get(stage, -1):
            self._told[stage] = reached
            self._console.print(f"{stage:<14} {done:,} of {total:,}", highlight=False)
