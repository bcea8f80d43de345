"""PURE: no single user moves more than a set share of what is learned.

A checkpoint is the sum of all that was learned for it; so the share is of the weight of all examples, fading:
at `HORIZON` units all sums are halved. A unit is one shown item that counts in full.
"""

from collections.abc import Mapping

HORIZON = 20_000.0
"""At so much weight in all, what was learned of before counts half."""

YOUNG = 1_000.0
"""A share of less weight than this is a share of this: the first users are no attack."""

EQUALS = 2.0
"""Nobody is held to less than so many times an equal share: a service of ten users learns from ten."""

_FORGOTTEN = 0.5


class UserShare:
    """How much of its weight each user's example may keep.

    >>> shares = UserShare(0.1)
    >>> for number in range(20_000):
    ...     _ = shares.admit("heavy" if number % 2 else f"user-{number % 99}", 1.0)
    >>> round(shares.of("heavy"), 2)
    0.1
    """

    def __init__(self, share: float) -> None:
        """`share` in (0, 1]; 1 holds nobody back."""
        self._share = share
        self._total = 0.0
        self._weights: dict[str, float] = {}

    def of(self, user_id: str) -> float:
        """Return a user's share of what was learned lately."""
        return self._weights.get(user_id, 0.0) / self._total if self._total else 0.0

    def admit(self, user_id: str, weight: float) -> float:
        """Return which part of a user's `weight` may be learned, in [0, 1], and count that part."""
        if weight <= 0:
            return 1.0
        used = self._weights.get(user_id, 0.0)
        share = max(self._share, EQUALS / (len(self._weights) or 1))
        allowed = min(weight, max(0.0, share * max(self._total, YOUNG) - used)) if share < 1 else weight
        self._weights[user_id] = used + allowed
        self._total += allowed
        if self._total >= HORIZON:
            self._fade()
        return allowed / weight

    def snapshot(self) -> tuple[float, dict[str, float]]:
        """Return the weight learned in all, and by user."""
        return self._total, dict(self._weights)

    def restore(self, state: tuple[float, Mapping[str, float]]) -> None:
        """Go on from a snapshot."""
        self._total, self._weights = state[0], dict(state[1])

    def _fade(self) -> None:
        self._total /= 2
        halved = {user_id: weight / 2 for user_id, weight in self._weights.items()}
        self._weights = {user_id: weight for user_id, weight in halved.items() if weight >= _FORGOTTEN}
