"""PURE: a converted log, gathered record by record and put in order of time."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.events import Click, Dwell, Feedback, Impression, Item

Timed = Impression | Click | Dwell | Feedback | Item

_FILES: dict[type[Timed], str] = {
    Impression: "impressions",
    Click: "clicks",
    Dwell: "dwells",
    Feedback: "feedback",
    Item: "items",
}


@dataclass
class ConvertedLog:
    """Records by the file they belong to. Equal times keep the order in which they were added."""

    files: dict[str, list[Timed]] = field(default_factory=lambda: {name: [] for name in _FILES.values()})

    def extend(self, records: Iterable[Timed]) -> None:
        """Put each record into its file."""
        for record in records:
            self.files[_FILES[type(record)]].append(record)

    def in_order(self) -> dict[str, list[Timed]]:
        """The files that have records, each sorted by `ts`."""
        return {name: sorted(rows, key=lambda row: row.ts) for name, rows in self.files.items() if rows}
