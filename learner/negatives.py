"""PURE: what a user did not choose, where no slate says what they were shown.

Two proposals, half of the draws or so each: the items that others engaged with last, which are the batch's
positives of any batch size, and the shortlist that the model would have ranked. An item that the user is
known to have engaged with is never a negative.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class NegativeSettings:
    """How many negatives of either kind, and what is remembered to draw them."""

    hard: int = 32
    sampled: int = 16
    recent: int = 8_192
    users: int = 4_096
    per_user: int = 2_048


class Drawn(NamedTuple):
    """Negatives [m], and the log of how often each was to be drawn, in expectation; float32 [m]."""

    rows: Ints
    log_q: Floats


class Negatives:
    """Remembers who engaged with what, bounded, and draws negatives."""

    def __init__(self, settings: NegativeSettings) -> None:
        self._settings = settings
        self._recent = np.zeros(settings.recent, np.int32)
        self._times: Counter[int] = Counter()  # how often each row is among the recent
        self._folded = 0
        self._engaged: dict[int, list[int]] = {}

    def fold(self, user: int, row: int) -> None:
        """Take notice of an engagement."""
        if not row:
            return
        place = self._folded % len(self._recent)
        self._lose(int(self._recent[place]))
        self._recent[place] = row
        self._times[row] += 1
        self._folded += 1
        if not user:
            return
        # Inserted last: users who were not seen for longest are the first to be forgotten.
        engaged = self._engaged[user] = self._engaged.pop(user, [])
        engaged.append(row)
        del engaged[: -self._settings.per_user]
        if len(self._engaged) > self._settings.users:
            del self._engaged[next(iter(self._engaged))]

    def _lose(self, row: int) -> None:
        self._times[row] -= 1
        if self._times[row] <= 0:
            del self._times[row]

    def engaged(self, user: int) -> Ints:
        """Rows that a user, given by row, is known to have engaged with."""
        return np.array(self._engaged.get(user, ()), np.int32)

    def forget(self, rows: NDArray[np.integer]) -> None:
        """Forget items, given by row."""
        self._recent[np.isin(self._recent, rows)] = 0
        gone = set(rows.tolist())
        for row in gone:
            self._times.pop(row, None)
        for engaged in self._engaged.values():
            engaged[:] = [row for row in engaged if row not in gone]

    def forget_users(self, users: Sequence[int]) -> None:
        """Forget users, given by row."""
        for user in users:
            self._engaged.pop(user, None)

    def draw(self, shortlist: Ints, excluded: Ints, rng: np.random.Generator) -> Drawn:
        """Draw from the shortlist and from the stream, neither of it in `excluded`.

        `log_q` is of both ways to be drawn together, so that the sum over what was drawn stands for the sum
        over all that may be (Bengio and Senécal 2008). An item's share is that among the recent, of which is
        drawn: by its share of a longer past, what became popular lately would weigh many times itself. What
        is drawn and excluded is not drawn again: the others do not come oftener.
        """
        settings = self._settings
        hard = shortlist[~np.isin(shortlist, excluded)]
        chosen = rng.permutation(hard)[: settings.hard]
        recent = self._recent[: min(self._folded, len(self._recent))]
        sampled = recent[rng.integers(len(recent), size=settings.sampled)] if len(recent) else recent
        rows = np.concatenate([chosen, sampled[(sampled > 0) & ~np.isin(sampled, excluded)]])
        by_list = np.isin(rows, hard) * (len(chosen) / max(len(hard), 1))
        times = np.array([self._times.get(row, 0) for row in rows.tolist()])
        expected = by_list + len(sampled) / max(len(recent), 1) * times
        return Drawn(rows, np.log(expected).astype(np.float32))

    def copy(self) -> "Negatives":
        """The same, to be changed apart from these."""
        other = Negatives(self._settings)
        other._recent, other._folded = self._recent.copy(), self._folded
        other._times = self._times.copy()
        other._engaged = {user: engaged.copy() for user, engaged in self._engaged.items()}
        return other

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """All of it as arrays."""
        engaged = [np.array(rows, np.int32) for rows in self._engaged.values()]
        return {
            "recent": self._recent.copy(),
            "folded": np.array([self._folded]),
            "users": np.array(list(self._engaged), np.int32),
            "sizes": np.array([len(rows) for rows in engaged], np.int32),
            "engaged": np.concatenate([np.zeros(0, np.int32), *engaged]),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `snapshot` gave."""
        self._recent[:] = state["recent"]
        self._times = Counter(self._recent[self._recent > 0].tolist())
        self._folded = int(state["folded"][0])
        parts = np.split(state["engaged"], np.cumsum(state["sizes"])[:-1])
        users = state["users"].tolist()
        self._engaged = {user: rows.tolist() for user, rows in zip(users, parts[: len(users)], strict=True)}
