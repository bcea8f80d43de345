"""PURE: what a stream teaches its labels, part by part.

Every part bounds what it keeps, and keeps `short` names, so that a snapshot of all of them fits a record of
a broker, however many users, items and surfaces there are and whatever they are called.
"""

from typing import Any

from schemas.events import ShownItem
from stream.behaviour import Visit
from stream.delays import Delays
from stream.examination import Examination
from stream.satisfaction import Satisfaction
from stream.short_names import short
from stream.trust import Trust


class Estimates:
    """Everything that final slates teach; each part is folded, read and kept by itself."""

    def __init__(self) -> None:
        self.satisfaction = Satisfaction()
        self.examination = Examination()
        self.delays = Delays()
        self.trust = Trust()

    def fold_stay(self, dwell_ms: float, duration_ms: float | None, surface: str) -> None:
        """Learn from how long a user stayed with an item."""
        self.satisfaction.fold(dwell_ms, duration_ms, short(surface))

    def fold_slate(self, surface: str, items: list[tuple[ShownItem, int | None]]) -> None:
        """Learn from a whole slate: its items, and when each was clicked, in ms after the impression."""
        surface = short(surface)
        for _, delay_ms in items:
            self.delays.fold(surface, delay_ms)
        if len(items) > 1:  # one item tells nothing of positions
            self.examination.fold(
                surface,
                [
                    (item.position, short(item.item_id), delay is not None, item.propensity)
                    for item, delay in items
                ],
            )

    def fold_visit(self, visit: Visit) -> None:
        """Learn from how a user behaves."""
        self.trust.fold(visit)

    def satisfied(self, dwell_ms: float, duration_ms: float | None, surface: str) -> float:
        """Return the satisfaction that a stay shows, in [0, 1]."""
        return self.satisfaction.of(dwell_ms, duration_ms, short(surface))

    def examined(self, surface: str, position: int) -> float:
        """Return the probability that a user looks at a position of a surface."""
        return self.examination.probability(short(surface), position)

    def negative_weight(self, surface: str, elapsed_ms: int) -> float:
        """Return how much an item counts as a negative when it was not clicked by `elapsed_ms`."""
        return self.delays.weight(short(surface), elapsed_ms)

    def trusted(self, user_id: str, item_id: str) -> float:
        """Return how far what a user does with an item is trusted to be what a person does."""
        return self.trust.of(user_id, item_id)

    def snapshot(self) -> dict[str, Any]:
        """Return every part's snapshot by its name."""
        return {
            "satisfaction": self.satisfaction.snapshot(),
            "examination": self.examination.snapshot(),
            "delays": self.delays.snapshot(),
            "trust": self.trust.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self.satisfaction.restore(state["satisfaction"])
        self.examination.restore(state["examination"])
        self.delays.restore(state["delays"])
        self.trust.restore(state["trust"])
