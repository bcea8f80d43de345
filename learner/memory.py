"""PURE: replay memory, a bounded reservoir biased to the recent."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Codec(NamedTuple, Generic[T]):
    """How an item is kept: bytes cost little memory, and a snapshot of them costs nothing."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


class ReplayMemory(Generic[T]):
    """Up to `capacity` items of a stream, of which about the last `horizon` are represented.

    Biased reservoir sampling (Aggarwal, VLDB 2006): an arriving item enters with probability
    capacity/horizon and then takes the place of a random one, so that the item of `age` later arrivals is
    in a full memory with probability capacity/horizon · (1 − 1/horizon)^age, exponential in its age.
    Until the memory is full every item enters, so that it is of use at once.

    All chance comes from the generators passed in: the same generator and items give the same memory.
    """

    def __init__(self, capacity: int, horizon: int, codec: Codec[T]) -> None:
        if not 1 <= capacity <= horizon:
            raise ValueError(f"ReplayMemory needs 1 ≤ capacity ≤ horizon; got {capacity} and {horizon}")
        self.capacity = capacity
        self.horizon = horizon
        self._codec = codec
        self._items: list[bytes] = []

    def __len__(self) -> int:
        """Items held."""
        return len(self._items)

    def add(self, item: T, rng: np.random.Generator) -> None:
        """Offer the newest item of the stream."""
        if len(self._items) < self.capacity:
            self._items.append(self._codec.encode(item))
            return
        # One draw decides both: a slot below the capacity is the one to replace, any other none.
        slot = int(rng.integers(self.horizon))
        if slot < self.capacity:
            self._items[slot] = self._codec.encode(item)

    def sample(self, n: float, rng: np.random.Generator) -> list[T]:
        """Draw n items with replacement, a part of one with that probability; none from an empty memory."""
        if not self._items:
            return []
        whole = int(n)
        if whole < n:  # to the nearest whole, half an item for each would never be any
            whole += int(rng.random() < n - whole)
        return [self._codec.decode(self._items[slot]) for slot in rng.integers(len(self._items), size=whole)]

    def snapshot(self) -> list[bytes]:
        """The encoded items."""
        return list(self._items)

    def restore(self, items: Sequence[bytes]) -> None:
        """Replace the contents by an earlier `snapshot`, cut to this memory's capacity."""
        self._items = list(items[: self.capacity])
