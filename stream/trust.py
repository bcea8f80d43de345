"""PURE: how far a user's behaviour is that of a person, from rate rules and from how odd it is.

Rules, each on a share of the user's own doings: clicks that belong to no slate of theirs, stays that cannot
be, clicks faster than hands, clicks in lockstep with other newcomers, clicks on always the same item, and
clicks on nearly everything. A share counts as its Wilson lower bound, so that little evidence is weak
evidence. It must be above the rule's own tolerance and above what is usual here, the share that a fifth of
the users exceed: a log that stamps every click at its impression, or a page whose impressions get lost, makes
nobody a machine. How much a user does is no rule. Being odd, without a rule broken, costs at most `ODD`.

An item that newcomers click in lockstep is besieged: for some hours it is learned from veterans alone, and
from those who were there before, so that new accounts, each of which has done little as yet, gain nothing.

A judgement comes late: what it doubts and was told with trust, in the last rounds, is taken back.

Users are judged in rounds of visits, all together, not at every exposure; in between a visit is one append,
and asking is a lookup among those who are not wholly trusted.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.behaviour import (
    CLICKS,
    COUNTS,
    HASTY,
    IMPOSSIBLE,
    KNOWN_CLICKS,
    LOCKSTEP,
    STAYS,
    STRAYS,
    VETERAN_CLICKS,
    VIEWS,
    Behaviour,
    Told,
    Visit,
    count,
    in_lockstep,
)
from stream.oddity import Oddity
from stream.verdicts import Siege, Verdict, take_back

ROUND = 64
"""Visits from one judgement to the next, or a quarter of the users known: it costs by their number."""

ROUND_ENTRIES = 3_000
"""So many items shown and clicked, and names for it, end a round as well: what is kept of it stays small."""

PAST = 3
"""So many rounds before it are looked at together with a round, for users in lockstep."""

USERS = 2_048
"""So many users are remembered; of more, first those go that are trusted, and were seen longest ago."""

HALF_LIFE_H = 24.0
"""Counts fade: who behaved like a machine yesterday has a second chance today."""

EXPIRY_H = 168.0
"""Who was not seen for a week is forgotten."""

USUAL = 0.8
"""What is usual is the share that this part of the users keep below."""

KNOWN_FROM, USUAL_FROM = 5.0, 20
"""Doings from which a user's share says what is usual, and how many such users it takes."""

ODD, ODD_ABOVE = 0.3, 0.95
"""The most that oddity costs, and the quantile of users' oddity from which it costs anything."""

SCORED_EVERY = 8
"""Views, and half as many as a user has, from one look at their oddity to the next."""

SIEGE_MS = 6 * 3_600_000
"""So long after newcomers clicked it in lockstep is an item besieged."""

BESIEGED = 256
"""At most so many items are besieged, those that were clicked so first of late."""

FORGIVEN = 0.05
"""A suspicion below this is none: nearly all users are wholly trusted, and need not be written down."""


class Rule(NamedTuple):
    """A share that tells on machines, column over columns; up to `tolerated` nothing, from `full` on all."""

    of: int
    among: tuple[int, ...]
    tolerated: float
    full: float


MAIN, LAST_H, SCORED, ODDITY, FIRST_H = range(COUNTS, WIDTH := COUNTS + 5)
"""More columns: clicks on the item clicked most, when last seen, in hours since 1970, views when oddity was
scored, oddity, and when first seen."""

RULES = (
    Rule(STRAYS, (CLICKS, STRAYS), 0.2, 0.6),
    Rule(IMPOSSIBLE, (STAYS,), 0.2, 0.6),
    Rule(HASTY, (CLICKS,), 0.2, 0.6),
    Rule(LOCKSTEP, (CLICKS,), 0.2, 0.6),
    Rule(MAIN, (CLICKS,), 0.4, 0.7),
    Rule(CLICKS, (VIEWS,), 0.85, 0.95),
)

_HOUR_MS = 3_600_000
_Z = 2.33
_log = msgspec.msgpack.Decoder(list[Visit])


class Trust:
    """Trust in users, learned from their visits.

    taken_back: what judgements took back since the last snapshot that was restored.

    >>> trust = Trust()
    >>> for n in range(2_048):
    ...     who, item_id = ("robot", "spam") if n % 8 == 0 else (f"user-{n % 50}", "abc"[n % 3])
    ...     trust.fold(Visit(who, n * 1_000, ["spam", "a", "b", "c"], [(item_id, n * 1_000 + 900)]))
    >>> trust.of("robot", "a"), trust.of("user-1", "a"), trust.of("nobody", "a")
    (0.0, 1.0, 1.0)
    """

    def __init__(self) -> None:
        self._verdict = Verdict()
        self.taken_back: list[Told] = []
        self._visits: list[Visit] = []
        self._log: list[bytes] = []  # older visits of the round, encoded once
        self._logged = self._entries = 0
        self._past: list[bytes] = []  # the rounds before: lockstep can be slower than a round
        self._table = b""
        self._known = 0
        self._oddity = Oddity(len(RULES))

    def of(self, user_id: str, item_id: str) -> float:
        """Return the trust in what a user does with an item, in [0, 1]; 1 for most strangers."""
        return self._verdict.of(user_id, item_id)

    def fold(self, visit: Visit) -> None:
        """Take one visit into account, when all of it is known."""
        self._visits.append(visit)
        self._entries += visit.entries
        if self._logged + len(self._visits) >= max(ROUND, self._known // 4) or self._entries >= ROUND_ENTRIES:
            self._judge()

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state. Most of it is bytes, which are handed on unread from epoch to epoch."""
        self._write_down()
        return {
            "distrusted": dict(self._verdict.distrusted),
            "besieged": dict(self._verdict.besieged),
            "veterans": sorted(self._verdict.veterans),
            "log": list(self._log),
            "logged": self._logged,
            "entries": self._entries,
            "past": list(self._past),
            "table": self._table,
            "known": self._known,
            "oddity": self._oddity.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        besieged = {item_id: Siege(*times) for item_id, times in state["besieged"].items()}
        self._verdict = Verdict(state["distrusted"], besieged, set(state["veterans"]))
        self.taken_back = []
        self._visits, self._log = [], list(state["log"])
        self._logged, self._entries = state["logged"], state["entries"]
        self._past = list(state["past"])
        self._table, self._known = state["table"], state["known"]
        self._oddity.restore(state["oddity"])

    def _write_down(self) -> None:
        if self._visits:
            self._log.append(msgspec.msgpack.encode(self._visits))
            self._logged += len(self._visits)
            self._visits = []

    def _judge(self) -> None:
        """End the round: count what users did, fade what they did before, and judge all that are known."""
        self._write_down()
        visits, past = (
            [visit for raw in log for visit in _log.decode(raw)] for log in (self._log, self._past)
        )
        self._past = [*self._past, msgspec.msgpack.encode(visits)][-PAST:]
        self._log, self._logged, self._entries = [], 0, 0
        users = Users(self._table)
        now_ms = max(visit.ts for visit in visits)
        together = in_lockstep(past + visits, users.veterans(self._verdict.distrusted))
        users.add(count(visits, together), now_ms)
        shares = users.shares()
        self._score(users, shares)
        trust = judge(users.rows, shares)
        self._table, self._known = users.keep(trust), min(USERS, len(users.ids))
        distrusted = {
            user_id: round(float(one), 4)
            for user_id, one in zip(users.ids, trust, strict=True)
            if one < 1 - FORGIVEN
        }
        began_ms = min(visit.ts for visit in past + visits)
        besieged = self._besieged({item_id for _, item_id in together}, began_ms, now_ms)
        before = self._verdict
        self._verdict = Verdict(distrusted, besieged, users.trusted_in(besieged, distrusted))
        self._take_back(visits, past, before)

    def _take_back(self, visits: list[Visit], past: list[Visit], before: Verdict) -> None:
        """Take back what was told with trust, as far as there is room for it until the next seal."""
        room = ROUND_ENTRIES - sum(told.entries for told in self.taken_back)
        for told in take_back(visits, past, before, self._verdict):
            room -= told.entries
            if room >= 0:
                self.taken_back.append(told)

    def _besieged(self, item_ids: set[str], began_ms: int, now_ms: int) -> dict[str, Siege]:
        known = self._verdict.besieged
        besieged = dict(known)
        for item_id in sorted(item_ids):
            began = known[item_id].began_ms if item_id in known else began_ms
            besieged[item_id] = Siege(began, now_ms + SIEGE_MS)
        lasting = [(item_id, siege) for item_id, siege in besieged.items() if siege.until_ms > now_ms]
        return dict(lasting[-BESIEGED:])

    def _score(self, users: "Users", shares: NDArray[np.float64]) -> None:
        rows = users.rows
        due = rows[:, VIEWS] - rows[:, SCORED] >= np.maximum(SCORED_EVERY, rows[:, VIEWS] / 2)
        for row in np.flatnonzero(due).tolist():
            rows[row, ODDITY] = self._oddity.score(shares[row].tolist())
            rows[row, SCORED] = rows[row, VIEWS]


class _Kept(msgspec.Struct, array_like=True):
    ids: list[str]
    mains: list[str]
    rows: bytes


class Users:
    """What is known of users: `rows` [users, WIDTH], and the item that each clicks most."""

    def __init__(self, raw: bytes) -> None:
        kept = msgspec.msgpack.decode(raw, type=_Kept) if raw else _Kept([], [], b"")
        self.ids, self._mains = kept.ids, kept.mains
        self.rows = np.frombuffer(kept.rows, "<f4").reshape(-1, WIDTH).astype(np.float64)

    def veterans(self, distrusted: Mapping[str, float]) -> set[str]:
        """The users that have clicked enough beside their main item, and are trusted."""
        return self._of(self._beside() >= VETERAN_CLICKS, distrusted)

    def trusted_in(self, besieged: Mapping[str, Siege], distrusted: Mapping[str, float]) -> set[str]:
        """Veterans, and who had clicked this and that before the first of the sieges; nobody without one."""
        if not besieged:
            return set()
        first_h = min(siege.began_ms for siege in besieged.values()) / _HOUR_MS
        beside = self._beside()
        known = (beside >= KNOWN_CLICKS) & (self.rows[:, FIRST_H] < first_h)
        return self._of(known | (beside >= VETERAN_CLICKS), distrusted)

    def _beside(self) -> NDArray[np.float64]:
        return np.asarray(self.rows[:, CLICKS] - self.rows[:, MAIN] - self.rows[:, LOCKSTEP])

    def _of(self, which: NDArray[np.bool_], distrusted: Mapping[str, float]) -> set[str]:
        return {self.ids[row] for row in np.flatnonzero(which) if self.ids[row] not in distrusted}

    def add(self, found: Mapping[str, Behaviour], now_ms: int) -> None:
        """Fade what is known of the users that were found, and add what they did."""
        at = {user_id: row for row, user_id in enumerate(self.ids)}
        new = [user_id for user_id in found if user_id not in at]
        at |= {user_id: len(self.ids) + number for number, user_id in enumerate(new)}
        self.ids += new
        self._mains += [""] * len(new)
        self.rows = np.vstack([self.rows, np.zeros((len(new), WIDTH))])
        self._add(np.array([at[user_id] for user_id in found]), list(found.values()))
        self._now_h = now_ms / _HOUR_MS

    def _add(self, at: NDArray[np.int64], found: list[Behaviour]) -> None:
        rows = self.rows[at]
        now_h = np.array([behaviour.last_ts for behaviour in found]) / _HOUR_MS
        fade = 0.5 ** (np.maximum(0.0, now_h - rows[:, LAST_H]) / HALF_LIFE_H)
        rows[:, :LAST_H] *= fade[:, None]
        rows[:, SCORED] *= fade
        rows[:, :COUNTS] += [behaviour.counts for behaviour in found]
        rows[:, FIRST_H] = np.where(rows[:, LAST_H] > 0, rows[:, FIRST_H], now_h)
        rows[:, LAST_H] = np.maximum(now_h, rows[:, LAST_H])
        for row, (user, behaviour) in enumerate(zip(at.tolist(), found, strict=True)):
            if behaviour.items:
                rows[row, MAIN] = self._follow(user, behaviour.items, float(rows[row, MAIN]))
        self.rows[at] = rows

    def _follow(self, user: int, items: dict[str, int], clicks: float) -> float:
        """Return how often the user has clicked the item that they click most, which these may change."""
        clicks += items.get(self._mains[user], 0)
        item_id = max(items, key=items.__getitem__)
        if items[item_id] > clicks:
            self._mains[user], clicks = item_id, items[item_id]
        return clicks

    def shares(self) -> NDArray[np.float64]:
        """The share that each rule looks at, [users, rules]; 0 where there is nothing to share."""
        return np.stack([self.rows[:, rule.of] / np.maximum(_among(self.rows, rule), 1) for rule in RULES], 1)

    def keep(self, trust: NDArray[np.float64]) -> bytes:
        """Return what is to be remembered: nobody that has expired, and the distrusted rather than others."""
        last_h = self.rows[:, LAST_H]
        order = np.lexsort((last_h, trust < 1 - FORGIVEN))[-USERS:]
        rows = np.sort(order[last_h[order] > self._now_h - EXPIRY_H])
        kept = _Kept(
            [self.ids[row] for row in rows],
            [self._mains[row] for row in rows],
            self.rows[rows].astype("<f4").tobytes(),
        )
        return msgspec.msgpack.encode(kept)


def judge(rows: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the trust in each user, [users]: the product of what every rule leaves, and what oddity does."""
    trust = np.ones(len(rows))
    for rule, share in zip(RULES, shares.T, strict=True):
        among = _among(rows, rule)
        tolerated = max(rule.tolerated, _usual(share, among))
        full = max(rule.full, (1 + tolerated) / 2)
        if tolerated < 1:
            trust *= 1 - np.clip((lower_bound(share, among) - tolerated) / (full - tolerated), 0, 1)
    odd = rows[:, ODDITY]
    known = odd[odd > 0]
    if len(known) >= USUAL_FROM and (above := float(np.quantile(known, ODD_ABOVE))) < 1:
        trust *= 1 - ODD * np.clip((odd - above) / (1 - above), 0, 1)
    return trust


def _usual(share: NDArray[np.float64], among: NDArray[np.float64]) -> float:
    """The share that most users keep below; 1, so nothing is unusual, while there are few to compare with."""
    known = share[among >= KNOWN_FROM]
    if len(known) < USUAL_FROM:
        known = share[among > 0]
    return float(np.quantile(known, USUAL)) if len(known) >= USUAL_FROM else 1.0


def lower_bound(share: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a share is at least, at 99 % (Wilson, JASA 1927).

    >>> lower_bound(np.array([1.0, 1.0]), np.array([2.0, 20.0])).round(2).tolist()
    [0.27, 0.79]
    """
    among = np.maximum(among, 1e-9)
    centre = share + _Z**2 / (2 * among)
    spread = _Z * np.sqrt(share * (1 - np.minimum(share, 1)) / among + _Z**2 / (4 * among**2))
    return np.asarray((centre - spread) / (1 + _Z**2 / among))


def _among(rows: NDArray[np.float64], rule: Rule) -> NDArray[np.float64]:
    return np.asarray(rows[:, rule.among].sum(1))
