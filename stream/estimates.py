"""PURE: what a stream teaches its labels, part by part."""

from typing import Any

from schemas.events import ShownItem
from stream.satisfaction import Satisfaction


class Estimates:
    """Everything that final slates teach; each part is folded, read and kept by itself."""

    def __init__(self) -> None:
        self.slates = 0
        self.satisfaction = Satisfaction()

    def fold_stay(self, dwell_ms: float, duration_ms: float | None, surface: str) -> None:
        """Learn from how long a user stayed with an item."""
        self.satisfaction.fold(dwell_ms, duration_ms, surface)

    def fold_slate(self, surface: str, items: list[tuple[ShownItem, int | None]]) -> None:  # noqa: ARG002
        """Learn from a whole slate: its items, and when each was clicked, in ms after the impression."""
        self.slates += 1

    def examined(self, surface: str, position: int) -> float:  # noqa: ARG002
        """Return the probability that a user looks at a position of a surface."""
        return 1.0

    def negative_weight(self, surface: str, elapsed_ms: int) -> float:  # noqa: ARG002
        """Return how much an item counts as a negative when it was not clicked by `elapsed_ms`."""
        return 1.0

    def snapshot(self) -> dict[str, Any]:
        """Return every part's snapshot by its name."""
        return {"slates": self.slates, "satisfaction": self.satisfaction.snapshot()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self.slates = state["slates"]
        self.satisfaction.restore(state["satisfaction"])
