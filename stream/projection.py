"""SHELL: SQL writes off the event loop. A write that fails is tried again until it succeeds.

Only a row that does not fit its columns is left out, and logged: it never would be taken.
The agent that asked waits, and only its own topic lags; nothing else of the worker needs the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from stream.storage import UNFIT, DatabaseError, Store

RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Pauses between attempts; the last one repeats."""

log = logging.getLogger(__name__)


class Projection:
    """Writes to a store, one at a time, in a worker thread."""

    def __init__(self, store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._store = store
        self._sleep = sleep
        self._created = False
        self._turn = asyncio.Lock()

    async def write(self, put: Callable[[Store], None]) -> None:
        """Run `put` on the store in a thread, again and again until the database takes it."""
        attempt = 0
        while True:
            try:
                async with self._turn:
                    await asyncio.to_thread(self._attempt, put)
                return
            except UNFIT as error:
                log.error("database: a row was left out, expected values that fit its columns: %s", error)
                return
            except DatabaseError as error:
                pause = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                log.warning("database: write failed, trying again in %.1f s: %s", pause, error)
            attempt += 1
            await self._sleep(pause)

    def _attempt(self, put: Callable[[Store], None]) -> None:
        if not self._created:
            self._store.create()
        self._created = False  # after a failure the database may be another, and empty
        put(self._store)
        self._created = True
