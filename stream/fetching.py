"""SHELL: fetches are noticed, those that come back empty are not repeated at once, and none holds up others.

Kafka holds a fetch until there is something to return. The embedded broker answers at once, and aiokafka
asks again at once: an idle worker then spends most of a core on it, which its scorer has to wait for.

aiokafka has one fetch a broker under way, and leaves out the partitions of which something fetched still
waits to be taken. A busy worker thus asked for its idle topics alone, and for the others only when Kafka had
held that fetch for as long as it may, 1.5 s: by then so much had come that it happened again, for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest

PAUSE_S: Final = 0.02

PARTIAL_MS: Final = 10
"""How long a broker may hold a fetch that leaves out partitions."""

Send = Callable[..., Awaitable[Any]]


def patient(
    send: Send,
    on_ask: Callable[[], None],
    on_answer: Callable[[], None],
    is_partial: Callable[[], bool],
    pause_s: float = PAUSE_S,
) -> Send:
    """Wrap a client's `send`: every fetch is noticed, an empty one returns a little later, none stays long.

    `is_partial` says, when a fetch is sent, whether it leaves out partitions that could have more.
    """

    async def send_and_wait(node_id: Any, request: Any, **options: Any) -> Any:
        is_fetch = isinstance(request, FetchRequest)
        if is_fetch:
            on_ask()
            if is_partial():
                request._max_wait_ms = min(request._max_wait_ms, PARTIAL_MS)
        response = await send(node_id, request, **options)
        if is_fetch:
            on_answer()
            if is_empty(response):
                await asyncio.sleep(pause_s)
        return response

    return send_and_wait


def is_empty(response: Any) -> bool:
    """PURE: whether a fetch brought no record from any partition."""
    return not any(records for _, partitions in response.topics for *_, records in partitions)
