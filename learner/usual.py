"""PURE: what examples usually cost: a loss far beyond it is no chance."""

import math
from dataclasses import dataclass
from typing import Final

KNOWS_NOTHING: Final = math.log(2)
"""Loss of who knows nothing: what is usual is no less, as long as nothing was published to tell."""

NO_WORLD: Final = math.log(1e6)
"""Loss of who gave what happened one chance in a million: sound weights cost no more in any world."""

_KEPT: Final = 0.9
"""How much of what was usual stays so with each checkpoint."""


@dataclass(frozen=True)
class MeanLoss:
    """The mean loss of so many examples."""

    loss: float
    examples: int


class Losses:
    """The losses since the last checkpoint, and what those of earlier ones were like.

    >>> losses = Losses()
    >>> losses.add(MeanLoss(0.2, 10)); losses.add(MeanLoss(0.5, 20))
    >>> losses.mean, round(losses.expected, 3)
    (MeanLoss(loss=0.4, examples=30), 0.693)
    >>> losses.publish()
    >>> losses.mean, losses.expected
    (None, 0.4)
    """

    def __init__(self) -> None:
        self._since: list[MeanLoss] = []
        self._back = False  # at weights that were accepted once, and nothing was published since
        self.usual: float | None = None

    def add(self, tested: MeanLoss) -> None:
        """Note what a step's examples cost before it."""
        self._since.append(tested)

    @property
    def mean(self) -> MeanLoss | None:
        """The mean loss of all examples since the last checkpoint."""
        examples = sum(one.examples for one in self._since)
        if not examples:
            return None
        return MeanLoss(sum(one.loss * one.examples for one in self._since) / examples, examples)

    @property
    def expected(self) -> float | None:
        """What is usual, and before the first checkpoint what the first step met, if that was more.

        It met weights that no step has moved yet: the base as it was trained, or those that a learner went
        back to. What costs much by these is another world; to go back again would lose all labels for ever.
        What costs more than any world is poison, whatever it met.
        """
        if not self._since or not (self.usual is None or self._back):
            return self.usual
        known = KNOWS_NOTHING if self.usual is None else self.usual
        return max(known, min(self._since[0].loss, NO_WORLD))

    def publish(self) -> None:
        """Begin the next checkpoint: the losses until now become a part of what is usual."""
        tested = self.mean
        if tested is not None and math.isfinite(tested.loss):
            known = tested.loss if self.usual is None else self.usual
            self.usual = _KEPT * known + (1 - _KEPT) * tested.loss
        self._since.clear()
        self._back = False

    def restore(self, usual: float | None) -> None:
        """Go back to what was usual once: what comes must not be judged by losses that went before."""
        self._since.clear()
        self._back = True
        self.usual = usual
