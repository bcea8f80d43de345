"""PURE: what is due when, in order of event time; cheap where things come in about that order anyway."""

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import TypeAlias

CLOSE, EXPIRE, IMPRESSION, CLICK, DWELL, FEEDBACK, SEAL = range(7)
"""Ranks: what comes first among equal times. A slate is closed before anything that happens at its end."""

Due: TypeAlias = tuple[int, int, str, str, str, str, float, str]
"""What is done in its turn: ts, rank, event_id, request_id, item_id, kind, value, user_id.

They are compared in C."""


class Agenda:
    """Events and timers that wait for their turn.

    What is newer than all events before stands in a line, which costs a tenth of a heap; the rest is a heap.

    >>> agenda = Agenda()
    >>> for ts in (5, 9, 7):
    ...     agenda.add((ts, CLICK, f"e{ts}", "r", "i", "click", 0.0, "u"))
    >>> agenda.remind(8, CLOSE, "r")
    >>> [due[0] for due in agenda.before(9)], len(agenda)
    ([5, 7, 8], 1)
    """

    def __init__(self) -> None:
        self._line: deque[Due] = deque()
        self._heap: list[Due] = []

    def __len__(self) -> int:
        return len(self._line) + len(self._heap)

    def add(self, due: Due) -> None:
        """Put an event where it belongs."""
        line = self._line
        if not line or line[-1] < due:
            line.append(due)
        else:
            heappush(self._heap, due)

    def remind(self, ts: int, rank: int, request_id: str = "") -> None:
        """Set a timer; it lies far ahead, and would keep events out of the line."""
        heappush(self._heap, (ts, rank, "", request_id, "", "", 0, ""))

    def before(self, ts: int) -> Iterator[Due]:
        """Take out, in order, what is due before `ts`, also what is put in meanwhile.

        An event at `ts` itself may still come; a slate's end does not wait.
        """
        line, heap, now = self._line, self._heap, (ts, IMPRESSION)
        while True:
            if heap and (not line or heap[0] < line[0]):
                if heap[0] >= now:
                    return
                yield heappop(heap)
            elif line and line[0] < now:
                yield line.popleft()
            else:
                return
