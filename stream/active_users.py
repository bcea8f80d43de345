"""PURE: whose recommendations are worth refreshing when a new model serves."""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from schemas.record import ID_BYTES

WAITING = 4_096
"""Users with a click that no model has learned yet, or whose turn has not come; the oldest gives way."""


class LearnedFrom(NamedTuple):
    """A user's click: its event time, and where its label stands in the `labels` topic."""

    ts: int
    partition: int
    offset: int

    def is_before(self, offsets: Mapping[str, int]) -> bool:
        """Whether a model that has learned all before these offsets has learned it."""
        return self.offset < offsets.get(str(self.partition), 0)


class Clicks(NamedTuple):
    """The first click of a user that is waited for, and the newest."""

    first: LearnedFrom
    newest: LearnedFrom


class ActiveUsers:
    """Users who clicked since their last refresh, and which model will be the first to have learned of it.

    It is their first click that is waited for: of who clicks on and on, no model knows the newest. Then they
    wait for the newest of that moment.

    >>> active = ActiveUsers()
    >>> active.touch("a", LearnedFrom(ts=10, partition=0, offset=5))
    >>> active.touch("b", LearnedFrom(ts=11, partition=0, offset=6))
    >>> active.take({"0": 6}, 9), active.take({"0": 6}, 9), active.take({"0": 7}, 9)
    ([('a', 10)], [], [('b', 11)])
    """

    def __init__(self, waiting: int = WAITING) -> None:
        self._waiting = waiting
        self._users: OrderedDict[str, Clicks] = OrderedDict()

    def touch(self, user_id: str, click: LearnedFrom) -> None:
        """Remember a user's newest click."""
        waiting = self._users.get(user_id)
        self._users[user_id] = Clicks(click if waiting is None else waiting.first, click)
        self._users.move_to_end(user_id)
        if len(self._users) > self._waiting:
            self._users.popitem(last=False)

    def forget(self, user_id: str) -> None:
        """Drop a user."""
        self._users.pop(user_id, None)

    def take(self, offsets: Mapping[str, int], most: int) -> list[tuple[str, int]]:
        """Return users of whom a model has learned a click, each with their newest's ts, and that first.

        Args:
            offsets: partition of `labels` → next offset to learn, as in the model's manifest.
            most: how many at the most; the others keep waiting.
        """
        learned = (one for one in reversed(self._users.items()) if one[1].first.is_before(offsets))
        taken = list(islice(learned, most))
        for user_id, clicks in taken:
            if clicks.newest.is_before(offsets):
                del self._users[user_id]
            else:
                self._users[user_id] = Clicks(clicks.newest, clicks.newest)
        return [(user_id, clicks.newest.ts) for user_id, clicks in taken]


def refresh_id(version: str, user_id: str) -> str:
    """The request id of an answer nobody asked for; a user id that would make it too long is hashed.

    >>> refresh_id("0123456789abcdef", "u1")
    'refresh:0123456789abcdef:u1'
    """
    request_id = f"refresh:{version}:{user_id}"
    if len(request_id.encode()) <= ID_BYTES:
        return request_id
    return f"refresh:{version}:{blake2b(user_id.encode(), digest_size=16).hexdigest()}"
