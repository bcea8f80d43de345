"""SHELL: the items topic, read whole by every worker, into the assortment and the scorer."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

from schemas.codec import decode
from schemas.errors import InvalidRecord
from schemas.events import Item
from schemas.headers import schema_of
from stream.candidates import Assortment
from stream.inbound import Followed

MOST = 256
"""Items given to the scorer at a time: new texts are embedded in batches."""

PAUSE_S = 0.2

log = logging.getLogger(__name__)


class Shelf(Protocol):
    """The part of the scorer that knows items."""

    def put_items(self, items: Sequence[Item]) -> None:
        """Add or replace items."""
        ...

    def remove_item(self, item_id: str) -> None:
        """Take an item out of the candidates."""
        ...


class CatalogueFeed:
    """Changes come in on the follower's thread, and are applied from the event loop.

    `known` is set when the catalogue that was there at the start is in the assortment, `ready` when the
    scorer knows it too. Bad records are passed over: the agent of the topic sends their dead letters.
    """

    def __init__(self, assortment: Assortment, shelf: Shelf | None) -> None:
        self._assortment = assortment
        self._shelf = shelf
        self._changes: SimpleQueue[Item | str] = SimpleQueue()
        self._all_read = asyncio.Event()
        self.known = asyncio.Event()
        self.ready = asyncio.Event()

    def on_record(self, record: Followed) -> None:
        """Take one record; called on the follower's thread."""
        try:
            if record.value is None:
                self._changes.put((record.key or b"").decode(errors="replace"))
            else:
                self._changes.put(decode(Item, record.value, schema_of(dict(record.headers))))
        except InvalidRecord as error:
            log.debug("items: record passed over: %s", error)

    def on_caught_up(self) -> None:
        """Notice that all that was there at the start has been handed over."""
        self._all_read.set()

    async def run(self) -> None:
        """Apply changes as they come, for ever."""
        waiting: list[Item | str] = []
        while True:
            all_read = self._all_read.is_set()  # before draining: what was read before is then drained
            for change in self._drain():
                self._note(change)
                waiting.append(change)
            if all_read:
                self.known.set()
            await self._shelve(waiting[:MOST])
            del waiting[:MOST]
            if not waiting:
                if all_read:
                    self.ready.set()
                await asyncio.sleep(PAUSE_S)

    def _drain(self) -> Iterator[Item | str]:
        try:
            while True:
                yield self._changes.get_nowait()
        except Empty:
            return

    def _note(self, change: Item | str) -> None:
        if isinstance(change, Item):
            self._assortment.put(change)
        else:
            self._assortment.remove(change)

    async def _shelve(self, changes: Sequence[Item | str]) -> None:
        if self._shelf is not None and changes:
            await asyncio.to_thread(_apply, self._shelf, changes)


def _apply(shelf: Shelf, changes: Sequence[Item | str]) -> None:
    """Apply changes in one call where the last one of each item decides."""
    last = {change.item_id if isinstance(change, Item) else change: change for change in changes}
    shelf.put_items([change for change in last.values() if isinstance(change, Item)])
    for item_id in (change for change in last.values() if isinstance(change, str)):
        shelf.remove_item(item_id)
