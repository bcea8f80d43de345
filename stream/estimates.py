"""PURE: what a stream teaches its labels, part by part."""

from typing import Any

from stream.slates import Slate


class Estimates:
    """Everything that final slates teach; each part is folded, read and kept by itself."""

    def __init__(self) -> None:
        self.slates = 0

    def fold(self, slate: Slate) -> None:  # noqa: ARG002
        """Learn from a slate that nothing can change any more."""
        self.slates += 1

    def snapshot(self) -> dict[str, Any]:
        """Return every part's snapshot by its name."""
        return {"slates": self.slates}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self.slates = state["slates"]
