"""SHELL: who looks for a broker that is gone waits before looking again.

aiokafka's sender asks for the cluster's layout for as long as a partition that it has records for has no
leader, each time as soon as the last answer is there. A broker that shuts down in order says that it leads
nothing any more; from then on the answer is a refused connection, within microseconds, and a worker that
could do nothing but wait used all of its core.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

PAUSE_S: Final = 0.2

Update = Callable[[Any, Iterable[str]], Awaitable[bool]]
"""Asks the brokers for the layout of some topics, of all if none is named; false if none answered."""


def unhurried(update: Update, pause_s: float = PAUSE_S) -> Update:
    """Wrap a client's metadata update: one that nobody answered returns a little later."""

    async def update_and_wait(cluster: Any, topics: Iterable[str]) -> bool:
        is_answered = await update(cluster, topics)
        if not is_answered:
            await asyncio.sleep(pause_s)
        return is_answered

    return update_and_wait
