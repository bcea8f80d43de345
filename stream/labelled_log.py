"""SHELL: a log directory → the labels that the live path makes of it, in the order they are observed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas.events import Item
from schemas.labels import LabeledSlate
from stream.intent import tags_in
from stream.join_settings import JoinSettings
from stream.logs import between, read_events
from stream.prequential.observer import Observer


def read_labels(
    directory: Path, items: Sequence[Item], until_ts: int | None = None, join: JoinSettings | None = None
) -> Iterator[LabeledSlate]:
    """Fold the events before `until_ts` (epoch ms; None: all), and yield every label known by then.

    Slates that are still open at the end are left out: what would have become of them is not known yet.

    Raises:
        LogDirectoryError: naming file and line.
    """
    durations = {item.item_id: item.duration_ms for item in items if item.duration_ms is not None}
    observer = Observer(durations.get, join, tags_in(items))
    for event in between(read_events(directory), None, until_ts):
        yield from observer.observe(event)
