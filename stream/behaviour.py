"""PURE: what users do that machines do, counted from their visits.

Rates after Buehrer, Stokes, Chellapilla, "A Large-scale Study of Automated Web Search Traffic" (AIRWeb 2008);
lockstep after Beutel et al., "CopyCatch" (WWW 2013): many accounts act on one thing in one span of time.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from math import sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray

HASTY_MS = 150
"""Nobody reads, decides and clicks faster: perception, choice and motion take 240 ms, 105 at the very least
(Card, Moran, Newell, "The Psychology of Human-Computer Interaction", 1983)."""

BURST, BURST_MS = 30, 60_000
"""More clicks than this in a minute, for all that they are apart, are hasty as well."""

LOOPS = 20
"""Nobody stays with an item for longer than so many times its length."""

SKEW_MS = 2_000
"""By so much may a stay be longer than the time that has passed: clocks are read at different moments."""

VETERAN_CLICKS = 10
"""From so many clicks on things other than their main item on, a user is no newcomer."""

ENTRY_BYTES = 12
"""A whole name counts as many short ones, by its length."""

MOST_TOLD = 16
"""No more clicks of one slate are taken back."""

KNOWN_CLICKS = 2
"""So many are enough for users that were there before an item was besieged."""

LOCKSTEP_USERS, LOCKSTEP_MS, LOCKSTEP_Z = 5, 3_600_000, 4.0
"""So many newcomers in a span of time, and by so many standard deviations more clicks than others give."""

VETERANS_VIEWS = 50
"""With fewer views by veterans there is nobody to compare with: where all is new, nothing is odd."""

ITEM_PRIOR = 10.0
"""How many views the newcomers' overall click rate counts for, beside the veterans' views of the item."""

VIEWS, CLICKS, STRAYS, STAYS, IMPOSSIBLE, HASTY, LOCKSTEP = range(COUNTS := 7)
"""Columns: items shown, clicks, clicks off their slate or on another's, dwells and those that cannot be,
clicks that come too fast, clicks in lockstep with others."""


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The clicks of a slate that were told with trust: names as they are, and the label's next revision."""

    user_id: str
    request_id: str
    surface: str
    ts: int
    revision: int
    clicks: list[tuple[str, int]]
    """Item id, position."""

    @property
    def entries(self) -> int:
        """How much it takes to keep."""
        names = len(self.user_id) + len(self.request_id) + len(self.surface)
        return 2 + (names + sum(len(item_id) for item_id, _ in self.clicks)) // ENTRY_BYTES


class Visit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one user did with one slate; without items, a click off their slate, or on another's.

    A click whose slate is not known says nothing: people come back to old pages, and it gives no label.

    `clicks` are (item id, event time); ids are short names. `told` is what there is to take back.
    """

    user_id: str
    ts: int
    shown: list[str] = []
    clicks: list[tuple[str, int]] = []
    stays: int = 0
    impossible: int = 0
    told: "Told | None" = None

    @property
    def entries(self) -> int:
        """How much it takes to keep: one for each item, click, and so many bytes of whole names."""
        return len(self.shown) + len(self.clicks) + (0 if self.told is None else self.told.entries)


class Behaviour:
    """One user's counts over some visits, and what they clicked."""

    __slots__ = ("counts", "items", "last_ts", "times")

    def __init__(self) -> None:
        self.counts = [0.0] * COUNTS
        self.items: dict[str, int] = {}
        self.times: list[int] = []
        self.last_ts = 0


def is_impossible(dwell_ms: float, passed_ms: float, duration_ms: float | None) -> bool:
    """Whether nobody can have stayed so long: longer than the time that passed, or than the item goes on.

    >>> is_impossible(9_000, 10_000, None), is_impossible(60_000, 10_000, None)
    (False, True)
    """
    return dwell_ms > passed_ms + SKEW_MS or bool(duration_ms and dwell_ms > LOOPS * duration_ms + SKEW_MS)


def count(visits: Iterable[Visit], together: Iterable[tuple[str, str]]) -> dict[str, Behaviour]:
    """Return what every user did, in the order of their first visit; `together` is from `in_lockstep`."""
    found: defaultdict[str, Behaviour] = defaultdict(Behaviour)
    for visit in visits:
        user = found[visit.user_id]
        counts = user.counts
        user.last_ts = max(user.last_ts, visit.ts)
        counts[VIEWS] += len(visit.shown)
        counts[STRAYS] += not visit.shown
        counts[STAYS] += visit.stays
        counts[IMPOSSIBLE] += visit.impossible
        if visit.clicks:
            counts[CLICKS] += len(visit.clicks)
            for item_id, ts in visit.clicks:
                user.items[item_id] = user.items.get(item_id, 0) + 1
                user.times.append(ts)
                counts[HASTY] += ts - visit.ts < HASTY_MS
    for user in found.values():
        user.counts[HASTY] = min(user.counts[CLICKS], user.counts[HASTY] + hasty(user.times))
    for user_id, item_id in together:
        if user_id in found:
            found[user_id].counts[LOCKSTEP] += found[user_id].items.get(item_id, 0)
    return dict(found)


def hasty(times: list[int]) -> int:
    """How many of a user's clicks come too soon after the one before, or are too many for their minute.

    >>> hasty([0, 10, 5_000]), hasty(list(range(0, 40_000, 1_000)))
    (1, 10)
    """
    times = sorted(times)
    return sum(
        ts - times[at - 1] < HASTY_MS or (at >= BURST and ts - times[at - BURST] < BURST_MS)
        for at, ts in enumerate(times)
        if at
    )


def in_lockstep(visits: Iterable[Visit], veterans: Collection[str]) -> list[tuple[str, str]]:
    """Return (user id, item id) of newcomers who clicked an item together, far oftener than veterans."""
    rates = np.zeros((2, 2))  # newcomers, veterans × views, clicks
    of_items: defaultdict[tuple[str, int], NDArray[np.float64]] = defaultdict(lambda: np.zeros((2, 2)))
    clickers: defaultdict[tuple[str, int], dict[str, None]] = defaultdict(dict)
    visits = [visit for visit in visits if visit.shown]
    for visit in visits:
        rates[int(visit.user_id in veterans)] += len(visit.shown), len(visit.clicks)
        if visit.user_id not in veterans:
            for item_id, _ in visit.clicks:
                clickers[item_id, visit.ts // LOCKSTEP_MS][visit.user_id] = None
    suspects = {key for key, users in clickers.items() if len(users) >= LOCKSTEP_USERS}
    if not suspects or rates[1, 0] < VETERANS_VIEWS:
        return []
    for visit in visits:
        clicked = {item_id for item_id, _ in visit.clicks}
        for item_id in visit.shown:
            if (key := (item_id, visit.ts // LOCKSTEP_MS)) in suspects:
                of_items[key][int(visit.user_id in veterans)] += 1, item_id in clicked
    usual = rates[0, 1] / rates[0, 0]
    return [
        (user_id, item_id)
        for (item_id, hour), views in sorted(of_items.items())
        if _excess(views, usual) > LOCKSTEP_Z
        for user_id in clickers[item_id, hour]
    ]


def _excess(views: NDArray[np.float64], usual: float) -> float:
    """By how many standard deviations newcomers clicked an item oftener than is to be expected."""
    (shown, clicked), (veterans_shown, veterans_clicked) = views
    rate = (veterans_clicked + ITEM_PRIOR * usual) / (veterans_shown + ITEM_PRIOR)
    return float((clicked - shown * rate) / sqrt(shown * rate * (1 - min(1.0, rate)) + 1))
