"""SHELL: the catalogue's changes, handed from the thread that reads them to the thread that trains."""

import logging
from queue import Empty, SimpleQueue
from typing import Final

from learner.connections import Message
from learner.follower import Follower
from learner.ports import ItemChange
from schemas import codec
from schemas.errors import InvalidRecord
from schemas.events import Item
from schemas.headers import schema_of

logger = logging.getLogger(__name__)

MOST: Final = 1_000
"""Changes per `drain` once learning has begun, so that a large import delays no label for long."""


class ItemQueue:
    """Decodes item records and holds them until they are asked for.

    A bad record is counted and passed over here; its dead letter is the stream's to send.
    """

    def __init__(self) -> None:
        self._changes: SimpleQueue[ItemChange] = SimpleQueue()
        self.refused = 0

    def put(self, message: Message) -> None:
        """Take one record of the items topic; an empty value removes the item."""
        try:
            self._changes.put(_change(message))
        except InvalidRecord as error:
            self.refused += 1
            logger.warning("items %d@%d refused: %s", message.partition, message.offset, error)

    def drain(self, most: int = MOST) -> list[ItemChange]:
        """Return the oldest changes, at most so many."""
        changes: list[ItemChange] = []
        try:
            while len(changes) < most:
                changes.append(self._changes.get_nowait())
        except Empty:
            pass
        return changes


class ItemFeed:
    """The queue and the follower that fills it."""

    def __init__(self, queue: ItemQueue, follower: Follower) -> None:
        self._queue = queue
        self._follower = follower

    def wait(self, timeout_s: float) -> bool:
        """Wait until the catalogue of the start is in the queue; False if that takes longer."""
        return self._follower.wait(timeout_s)

    def drain(self) -> list[ItemChange]:
        """Return the next changes; raises what ended the follower, if anything did."""
        self._follower.check()
        return self._queue.drain()


def _change(message: Message) -> ItemChange:
    if message.value is None:
        return ItemChange((message.key or b"").decode(errors="replace"), None)
    item = codec.decode(Item, message.value, schema_of(dict(message.headers)))
    return ItemChange(item.item_id, item)
