"""PURE: a bounded, fair sample of the traces of clicks that a checkpoint has learned."""

import numpy as np

from schemas.trace import Trace

SAMPLES = 64


class TraceSample:
    """Keeps `SAMPLES` of the traces added since the last `take`, each equally likely.

    Reservoir sampling, algorithm R (Vitter, 1985): the first ones alone would be those that waited longest.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._kept: list[Trace] = []
        self._seen = 0

    def add(self, trace: Trace) -> None:
        """Offer one trace."""
        self._seen += 1
        if len(self._kept) < SAMPLES:
            self._kept.append(trace)
            return
        slot = int(self._rng.integers(self._seen))
        if slot < SAMPLES:
            self._kept[slot] = trace

    def take(self) -> list[Trace]:
        """Return the sample, and begin a new one."""
        taken, self._kept, self._seen = self._kept, [], 0
        return taken
