"""PURE: no single user moves more than a set share of what is learned, in the long run and in any checkpoint.

A checkpoint is the sum of all that was learned for it, and differs from the one before by what was learned in
between, its draft. So a share is held twice: of the weight of all examples, fading (at `HORIZON` units all
sums are halved), and of that of the draft. A unit is one shown item that counts in full.

A quiet service publishes drafts of a single user, whose share is then all of it; one must learn from a click
within a second all the same. So a share of less than `YOUNG` units is a share of these: of a twentieth, 50
units, five slates of ten, are the most that a user moves between two checkpoints that hold little else.
"""

from dataclasses import dataclass, field

HORIZON = 20_000.0
"""At so much weight in all, what was learned of before counts half."""

YOUNG = 1_000.0
"""A share of less weight than this is a share of this: the first users are no attack, nor is a lonely one."""

EQUALS = 2.0
"""Nobody is held to less than so many times an equal share: a service of ten users learns from ten."""

MOST_USERS = 40_000
"""Beyond so many users those of least weight are forgotten, down to half as many. Users of half a unit each
are never so many, as `HORIZON` units are halved; users of less would pile up until these are reached."""

_FORGOTTEN = 0.5


@dataclass
class Sums:
    """Weight that was learned: in all, and by user."""

    total: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)

    def left(self, user_id: str, share: float) -> float:
        """Return how much more a user may add."""
        return max(0.0, share * max(self.total, YOUNG) - self.weights.get(user_id, 0.0))

    def add(self, user_id: str, weight: float) -> None:
        """Count weight, fade where there is much, and forget some where there are many."""
        self.weights[user_id] = self.weights.get(user_id, 0.0) + weight
        self.total += weight
        if len(self.weights) > MOST_USERS:
            self.weights = _heaviest(self.weights, MOST_USERS // 2)
        if self.total >= HORIZON:
            self.total /= 2
            halved = {known: weight / 2 for known, weight in self.weights.items()}
            self.weights = {known: weight for known, weight in halved.items() if weight >= _FORGOTTEN}


def _heaviest(weights: dict[str, float], most: int) -> dict[str, float]:
    """The users of most weight, in their order; of equal ones those that came last.

    >>> _heaviest({"a": 1.0, "b": 2.0, "c": 1.0}, 2)
    {'b': 2.0, 'c': 1.0}
    """
    light = set(sorted(weights, key=weights.__getitem__)[: len(weights) - most])
    return {user_id: weight for user_id, weight in weights.items() if user_id not in light}


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
        self._lately, self._draft = Sums(), Sums()

    def of(self, user_id: str) -> float:
        """Return a user's share of what was learned lately."""
        lately = self._lately
        return lately.weights.get(user_id, 0.0) / lately.total if lately.total else 0.0

    def admit(self, user_id: str, weight: float) -> float:
        """Return which part of a user's `weight` may be learned, in [0, 1], and count that part."""
        if weight <= 0:
            return 1.0
        lately, draft = self._lately, self._draft
        share = max(self._share, EQUALS / (len(lately.weights) or 1))
        if share < 1:
            allowed = min(weight, lately.left(user_id, share), draft.left(user_id, share))
        else:
            allowed = weight
        lately.add(user_id, allowed)
        draft.add(user_id, allowed)
        return allowed / weight

    def publish(self) -> None:
        """Begin the next draft: what was learned until now is in a checkpoint."""
        self._draft = Sums()

    def snapshot(self) -> tuple[Sums, Sums]:
        """Return what was learned lately, and for the draft."""
        return _copy(self._lately), _copy(self._draft)

    def restore(self, state: tuple[Sums, Sums]) -> None:
        """Go on from a snapshot."""
        self._lately, self._draft = map(_copy, state)


def _copy(sums: Sums) -> Sums:
    return Sums(sums.total, dict(sums.weights))
