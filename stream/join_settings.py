"""PURE: how long the join waits, and by which rules it judges; frozen, and the same for every partition."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

REFINEMENTS = {
    "quick": "items above a click are negatives at once, not only when the slate ends",
    "feedback": "what the user says outweighs how long they stayed",
    "satisfaction": "a stay is ranked among those of its length and surface; else it is a share of 18 s",
    "examination": "items below the lowest click count as far as such positions are looked at",
    "delays": "quick negatives weigh less, the more clicks are still to come",
    "intent": "sessions tell of visits, interests by tag, what was passed over, and the path",
    "trust": "labels of users that behave like machines weigh less, and those of before are taken back",
}
"""What labels can be refined by, each by itself, and what it does."""

LEARNED = frozenset(REFINEMENTS) - {"quick", "feedback", "intent"}
"""Those that go by what the stream has taught."""

EVERYWHERE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How outcomes are judged.

    autoplay: surfaces that play by themselves: there a dwell without a click tells of satisfaction.
    bounce_weight: with which a click that was regretted at once is a negative; 0: it stays a click.
    """

    refinements: frozenset[str] = frozenset({"quick", "feedback"})
    autoplay: frozenset[str] = frozenset({EVERYWHERE})
    bounce_weight: float = 0.0

    @property
    def learns(self) -> bool:
        """Whether anything that a stream teaches is asked for."""
        return not self.refinements.isdisjoint(LEARNED)

    def plays(self, surface: str) -> bool:
        """Whether items of a surface play by themselves."""
        return EVERYWHERE in self.autoplay or surface in self.autoplay


@dataclass(frozen=True)
class JoinSettings:
    """How long a slate stays open, and how far out of order its events may come, in ms of event time.

    >>> settings = JoinSettings(windows={"search": 1_800_000})
    >>> settings.window("search"), settings.window("feed"), settings.longest_ms
    (1800000, 600000, 1800000)
    """

    window_ms: int = 600_000
    lateness_ms: int = 10_000
    windows: Mapping[str, int] = field(default_factory=dict)
    """Surface → its own window."""
    rules: Rules = Rules()

    def window(self, surface: str) -> int:
        """How long a slate of a surface stays open."""
        return self.windows.get(surface, self.window_ms)

    @cached_property
    def longest_ms(self) -> int:
        """The longest window; an impression is waited for, and a slate corrected, by it."""
        return max(self.window_ms, *self.windows.values(), 0)

    @cached_property
    def horizon_ms(self) -> int:
        """How long after its event time a message can still matter: until then it is not acknowledged.

        A window until its slate is final, another for corrections, and each with the lateness.
        """
        return 2 * (self.longest_ms + self.lateness_ms)

    @cached_property
    def epoch_ms(self) -> int:
        """The span of event time whose slates teach the labels together."""
        return self.longest_ms

    def safe_ts(self, watermark: int) -> int:
        """The event time before which all slates have taught all that they can, in whole epochs."""
        return (watermark - self.horizon_ms) // self.epoch_ms * self.epoch_ms
