"""SHELL: fetches are noticed, and those that come back empty are not repeated at once.

Kafka holds a fetch until there is something to return. The embedded broker answers at once, and aiokafka
asks again at once: an idle worker then spends most of a core on it, which its scorer has to wait for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest

PAUSE_S: Final = 0.02

Send = Callable[..., Awaitable[Any]]


def patient(send: Send, on_answer: Callable[[], None], pause_s: float = PAUSE_S) -> Send:
    """Wrap a client's `send` so that every fetch is noticed, and an empty one returns a little later."""

    async def send_and_wait(node_id: Any, request: Any, **options: Any) -> Any:
        response = await send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            on_answer()
            if is_empty(response):
                await asyncio.sleep(pause_s)
        return response

    return send_and_wait


def is_empty(response: Any) -> bool:
    """PURE: whether a fetch brought no record from any partition."""
    return not any(records for _, partitions in response.topics for *_, records in partitions)
