"""SHELL: a producer that knows no leader for what it has to send waits before it looks again.

kafka-python's sender asks for the cluster's layout in each of its rounds while a partition that it was given
records for has no leader, and the asking ends the round's own wait: a broker that had shut down in order cost
a core until it was back. What the layout says meanwhile is up to kafka-python, which does wait between tries.
"""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

PAUSE_S: Final = 0.02


class Sender(Protocol):
    """The part of kafka-python's sender that is used here; it runs in a thread of its own."""

    _metadata: Any
    run_once: Callable[[], None]


def slow_down(sender: Sender, pause_s: float = PAUSE_S) -> None:
    """Let each round end with a pause that was begun without the layout asked for, and ends without it."""
    run_once = sender.run_once

    def run_and_wait() -> None:
        was_asked_for = sender._metadata.need_update
        run_once()
        if was_asked_for and sender._metadata.need_update:
            time.sleep(pause_s)

    sender.run_once = run_and_wait
