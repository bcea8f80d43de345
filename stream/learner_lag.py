"""PURE: how many labels the learner has not learned yet, as far as this worker can tell."""

from collections.abc import Callable, Mapping


class LearnerLag:
    """Compares where labels went with what the newest served checkpoint says it has learned.

    A learner has no port of its own: it is the checkpoints that tell, and those that stay away.

    >>> told = {}
    >>> lag = LearnerLag(told.__setitem__)
    >>> lag.sent(partition=2, offset=9)
    >>> lag.learned({"2": 4})
    >>> told
    {2: 6}
    """

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        """`tell(partition, labels)` is called whenever a lag has changed."""
        self._tell = tell
        self._ends: dict[int, int] = {}
        self._learned: dict[int, int] = {}

    def sent(self, partition: int, offset: int) -> None:
        """Take notice of the newest label of a partition."""
        self._ends[partition] = max(offset + 1, self._ends.get(partition, 0))
        self._tell_of(partition)

    def learned(self, offsets: Mapping[str, int]) -> None:
        """Take notice of a checkpoint: partition → the offset after the last label in its weights."""
        self._learned.update({int(partition): offset for partition, offset in offsets.items()})
        for partition in self._ends:
            self._tell_of(partition)

    def _tell_of(self, partition: int) -> None:
        self._tell(partition, max(0, self._ends[partition] - self._learned.get(partition, 0)))
