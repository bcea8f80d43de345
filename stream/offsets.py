"""PURE: which offset of one topic partition may be committed: the low watermark of what is done.

Faust's own acknowledgement is not used for user events: of 0.15.3's `Consumer._new_offset`, the first
commit of a partition skips what is open before it, and every later one may skip one message.
"""


class Offsets:
    """Offsets of one topic partition that were read, and those of them that are still open.

    >>> offsets = Offsets()
    >>> for offset in (7, 8, 9): offsets.read(offset)
    >>> offsets.done(8); offsets.committable
    7
    >>> offsets.done(7); offsets.committable
    9
    >>> offsets.done(9); offsets.committable
    10
    """

    def __init__(self) -> None:
        self._open: dict[int, None] = {}
        self._next: int | None = None

    def __len__(self) -> int:
        return len(self._open)

    @property
    def next(self) -> int | None:
        """The offset after the last one that was read; None before the first."""
        return self._next

    @property
    def committable(self) -> int | None:
        """The lowest open offset, or `next` where none is open: from here a successor must read."""
        return next(iter(self._open), self._next)

    def read(self, offset: int) -> None:
        """Open an offset; they come in ascending order."""
        self._open[offset] = None
        self._next = offset + 1

    def done(self, offset: int) -> None:
        """Close an offset."""
        self._open.pop(offset, None)
