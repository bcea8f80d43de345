"""PURE: the delayed join."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """How long a slate stays open, and how far out of order its events may come, in ms of event time."""

    window_ms: int = 600_000
    lateness_ms: int = 10_000

    @property
    def horizon_ms(self) -> int:
        """How long after its event time a message can still matter: until then it is not acknowledged."""
        return 2 * (self.window_ms + self.lateness_ms)
