"""PURE: going through all users in rounds, a few at a time, to let go of those that are long gone.

No label depends on when that is: whoever comes back after so long begins anew (`stream/sessions.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from stream.sessions import EXPIRY_MS

ROUND_MS = EXPIRY_MS // 32
"""A round begins no sooner, in event time, after the one before: an hour's replay of days needs few."""

User = TypeVar("User")


class Rounds(Generic[User]):
    """Looks at a few users of each call, until all were looked at.

    >>> newest = {"gone": 5, "here": EXPIRY_MS}
    >>> rounds = Rounds()
    >>> [rounds.expired(newest, newest.get, EXPIRY_MS + 6, number=1) for _ in range(3)]
    [['gone'], [], []]
    """

    def __init__(self) -> None:
        self._left: Iterator[User] = iter(())
        self._next_ts = 0

    def expired(
        self, users: Iterable[User], newest_ts: Callable[[User], int | None], safe_ts: int, number: int
    ) -> list[User]:
        """Return those of the next users who did nothing for `EXPIRY_MS`.

        Args:
            users: all there are; read whole at the beginning of a round.
            newest_ts: when a user last did anything; None where that is not known, or the user is gone.
            safe_ts: no earlier moment will be asked for.
            number: of users to look at.
        """
        looked_at = list(islice(self._left, number))
        if not looked_at and safe_ts >= self._next_ts:
            self._left, self._next_ts = iter(list(users)), safe_ts + ROUND_MS
            looked_at = list(islice(self._left, number))
        newest = ((user, newest_ts(user)) for user in looked_at)
        return [user for user, ts in newest if ts is not None and ts <= safe_ts - EXPIRY_MS]
