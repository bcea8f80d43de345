"""PURE: whose recommendations are worth refreshing when a new model serves."""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from schemas.record import ID_BYTES

MOST = 64
"""Users refreshed after one swap: a micro-batch or two, so that a refresh never delays the next."""

WAITING = 4_096
"""Users whose last click no model has learned yet; the oldest gives way."""


class LearnedFrom(NamedTuple):
    """A user's last click: its event time, and where its label stands in the `labels` topic."""

    ts: int
    partition: int
    offset: int


class ActiveUsers:
    """Users who clicked since their last refresh, and which model will be the first to have learned it.

    >>> active = ActiveUsers()
    >>> active.touch("a", LearnedFrom(ts=10, partition=0, offset=5))
    >>> active.touch("b", LearnedFrom(ts=11, partition=0, offset=6))
    >>> active.learned({"0": 6}), active.learned({"0": 6}), active.learned({"0": 7})
    ([('a', 10)], [], [('b', 11)])
    """

    def __init__(self, most: int = MOST, waiting: int = WAITING) -> None:
        self._most = most
        self._waiting = waiting
        self._users: OrderedDict[str, LearnedFrom] = OrderedDict()

    def touch(self, user_id: str, click: LearnedFrom) -> None:
        """Remember a user's newest click."""
        self._users[user_id] = click
        self._users.move_to_end(user_id)
        if len(self._users) > self._waiting:
            self._users.popitem(last=False)

    def forget(self, user_id: str) -> None:
        """Drop a user."""
        self._users.pop(user_id, None)

    def learned(self, offsets: Mapping[str, int]) -> list[tuple[str, int]]:
        """Take out the users whose click a model has learned; the latest of them, newest first, with its ts.

        Args:
            offsets: partition of `labels` → next offset to learn, as in the model's manifest.
        """
        known = [
            (user_id, click.ts)
            for user_id, click in self._users.items()
            if click.offset < offsets.get(str(click.partition), 0)
        ]
        for user_id, _ in known:
            del self._users[user_id]
        return known[::-1][: self._most]


def refresh_id(version: str, user_id: str) -> str:
    """The request id of an answer nobody asked for; a user id that would make it too long is hashed.

    >>> refresh_id("0123456789abcdef", "u1")
    'refresh:0123456789abcdef:u1'
    """
    request_id = f"refresh:{version}:{user_id}"
    if len(request_id.encode()) <= ID_BYTES:
        return request_id
    return f"refresh:{version}:{blake2b(user_id.encode(), digest_size=16).hexdigest()}"
