"""PURE: when clicks come, by surface, and how much a negative that was told before the window's end weighs.

A quick negative may be a click that is only late. Let p be the probability that a shown item is clicked
within the window, F(e) the share of those clicks that have come by e. Of the items not clicked by e,

    q(e) = (1 - p) / (1 - p·F(e))

stay without a click (the probability of a real negative in ES-DFM: Yang et al., "Capturing Delayed Feedback
in Conversion Rate Prediction via Elapsed-Time Sampling", AAAI 2021; with F = 0 the 1 - p of the fake-negative
weights of Ktena et al., "Addressing Delayed Feedback for Continuous Training with Neural Networks in CTR
prediction", RecSys 2019). A quick negative is learned with the weight q(e), and never topped up: the final
revision repeats it with that weight. A click that comes later is learned whole. What is learned of an item is
then in expectation (1 - p·F)·q = 1 - p of a negative and p·F + p·(1 - F) = p of a click: what an oracle who
knows the outcome at once would learn. So nothing has to be unlearned, and nothing compensated: the papers
weigh late clicks up only because they multiply every sample by 1 + p·(1 - F), the length of their stream.
Topping up to 1 at the end would leave p·(1 - F)·q of fake negatives in the weights for ever.

p is the surface's rate, not the item's: for a better item q is too large and its late clicks are learned
against a little too much negative. Odds p/(1 - p) become p/(1 - p·F) times a constant, in the same order.
"""

from array import array
from itertools import accumulate
from math import log2
from typing import Any

SURFACES = 64
"""So many surfaces have a distribution of their own; those that come later share that of all."""

PRIOR = 50.0
"""How many clicks the distribution over all surfaces counts for on one surface, and a first guess on all."""

MEMORY = 20_000
"""At so many clicks a distribution, and at so many shown items a rate, is halved: habits change."""

FIRST_GUESS_MS = 5_000.0
"""Before any click, half of them are taken to come within this time."""

_BINS = 96
_BINS_PER_OCTAVE = 4
_FIRST_OCTAVE = 6  # up to 64 ms is at once; the last bin ends at 2^30 ms, twelve days
_SHORTEST_MS = 2.0**_FIRST_OCTAVE
_LAST_PLACE = _BINS - 1e-9


class Delays:
    """Distributions of the time from impression to click, and rates of clicks, by surface.

    Nothing is censored as long as what is folded was final: fold an item once its slate cannot change any
    more, its click or its lack of one. The shares are then those of all clicks that a label can ever tell;
    what comes after the window and its corrections is no click to any label.

    >>> delays = Delays()
    >>> for second in range(1_000):
    ...     delays.fold("home", 10 * second if second % 2 else None)
    >>> round(delays.share_by("home", 5_000), 1), round(delays.click_rate("home"), 1)
    (0.5, 0.5)
    >>> round(delays.weight("home", 5_000), 2), round(quick_weight(0.5, 0.5), 2)
    (0.67, 0.67)
    """

    def __init__(self) -> None:
        self._all = _Times()
        self._surfaces: dict[str, _Times] = {}

    def share_by(self, surface: str, elapsed_ms: float) -> float:
        """Return the share of clicks that have come by a time after the impression, in [0, 1]."""
        place = _place(elapsed_ms)
        share = self._all.shrunk(place, elapsed_ms / (elapsed_ms + FIRST_GUESS_MS))
        times = self._surfaces.get(surface)
        return share if times is None else times.shrunk(place, share)

    def click_rate(self, surface: str) -> float:
        """Return the share of shown items that are clicked, in [0, 1)."""
        rate = (self._all.clicks + 1) / (self._all.shown + PRIOR)
        times = self._surfaces.get(surface)
        return rate if times is None else (times.clicks + PRIOR * rate) / (times.shown + PRIOR)

    def weight(self, surface: str, elapsed_ms: float) -> float:
        """Return how much a negative weighs that is told so long after the impression, in [0, 1]."""
        return quick_weight(self.share_by(surface, elapsed_ms), self.click_rate(surface))

    def fold(self, surface: str, delay_ms: float | None) -> None:
        """Take a shown item into account: how long its first click took, None for none."""
        place = -1 if delay_ms is None else int(_place(delay_ms))
        self._all.add(place)
        times = self._surfaces.get(surface)
        if times is None and len(self._surfaces) < SURFACES:
            times = self._surfaces[surface] = _Times()
        if times is not None:
            times.add(place)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state."""
        surfaces = {surface: times.snapshot() for surface, times in self._surfaces.items()}
        return {"all": self._all.snapshot(), "surfaces": surfaces}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._all = _Times.restored(state["all"])
        self._surfaces = {surface: _Times.restored(of) for surface, of in state["surfaces"].items()}


def quick_weight(share: float, click_rate: float) -> float:
    """Return q(e), the probability that a negative stays one, from F(e) and p.

    >>> quick_weight(1.0, 0.2), round(quick_weight(0.0, 0.2), 6)
    (1.0, 0.8)
    """
    return (1 - click_rate) / (1 - click_rate * share)


class _Times:
    """A histogram of log-delay, the clicks in it, and how many items were shown for them."""

    __slots__ = ("_counts", "_sums", "clicks", "shown")

    def __init__(self) -> None:
        self.clicks = 0
        self.shown = 0
        self._counts = array("H", bytes(2 * _BINS))
        self._sums: list[int] | None = None

    def add(self, place: int) -> None:
        """Count a shown item, and its click where `place` is a bin."""
        self.shown += 1
        if place >= 0:
            self.clicks += 1
            self._counts[place] += 1
            self._sums = None
        if self.clicks >= MEMORY or self.shown >= 50 * MEMORY:
            self._counts = array("H", [count // 2 for count in self._counts])
            self.shown //= 2
            self.clicks = sum(self._counts)
            self._sums = None

    def shrunk(self, place: float, prior: float) -> float:
        """Return the share of clicks below a place, together with `PRIOR` clicks that say `prior`."""
        if self._sums is None:
            self._sums = list(accumulate(self._counts, initial=0))
        node = int(place)
        below = self._sums[node] + (place - node) * self._counts[node]
        return (below + PRIOR * prior) / (self.clicks + PRIOR)

    def snapshot(self) -> list[Any]:
        """Return the counts; bytes are those of uint16."""
        return [self.clicks, self.shown, self._counts.tobytes()]

    @classmethod
    def restored(cls, state: list[Any]) -> "_Times":
        """Return what a snapshot was taken of."""
        times = cls()
        times.clicks, times.shown, times._counts = state[0], state[1], array("H", state[2])
        return times


def _place(delay_ms: float) -> float:
    """Where a delay is among the bins; the fraction tells how far into its bin."""
    if delay_ms <= _SHORTEST_MS:
        return 0.0
    return min(_LAST_PLACE, _BINS_PER_OCTAVE * (log2(delay_ms) - _FIRST_OCTAVE))
