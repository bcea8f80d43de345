"""PURE: what a user seems to be after: the visit, interests, what was passed over, the path.

All of it is exact under refolding, as sessions are. Whatever may still change is read from the session's own
touches, slates and searches; what cannot change any more is added up once, when the session settles. Sums
that fade are rounded, and the weakest tag gives way, so the order counts: touches come in the order of their
first mark, slates in that of their impression, and neither order can change once it is settled.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

import msgspec

from schemas.events import Item
from schemas.labels import Intent
from stream.touches import CLICK, DISLIKE, TOUCH_MS, UNITS, UNKNOWN, Glance, Touch, glance

Tags: TypeAlias = Callable[[str], Sequence[str]]
"""Item id → its tags; none of an unknown item."""


def tags_in(items: Iterable[Item]) -> Tags:
    """Return what the items of a log are about."""
    known = {item.item_id: tuple(item.tags) for item in items}
    return lambda item_id: known.get(item_id, ())


def untagged(_item_id: str) -> Sequence[str]:
    """Nothing is known of any item."""
    return ()


VISIT_GAP_MS = 1_800_000
"""A user who did nothing for half an hour has left; the usual bound (Catledge & Pitkow 1995: 25.5 min)."""

SHORT_MS = 600_000
LONG_MS = 7 * 86_400_000
"""Interests count half after so long."""

PASSED_MS = 3_600_000
"""What was passed over counts half after an hour."""

MOST_TAGS = 8
"""At most so many tags are told of, and kept where they add up."""

ITEM_TAGS = 4
TAG_CHARS = 24
"""Of an item the first few tags count, by their first characters."""

PATH = 8
LIMIT = 200
"""Slates and visits of a surface kept although they may not be settled yet."""

Fading: TypeAlias = dict[str, tuple[int, int]]
"""Tag → (thousandths, as of this second of event time); seconds take half the space."""

Counts: TypeAlias = list[int]
"""A user's counters, in the order of the session that they belong to."""


class Spell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """From the first to the last moment of a visit, and the counters before it."""

    start: int
    last: int
    before: Counts


class Leanings(msgspec.Struct, array_like=True, gc=False):
    """What a session keeps for the user's intent, encodable by msgspec; lists are ordered by time.

    slates are (ts, request_id, item ids) that may still be taken up; places are (ts, surface). path, visit,
    long and passed are of what is settled.
    """

    slates: list[tuple[int, str, list[str]]] = []
    places: list[tuple[int, str]] = []
    path: list[str] = []
    visit: Spell | None = None
    long: Fading = {}
    passed: Fading = {}


def fade(value: int, age_ms: int, half_ms: int) -> int:
    """Return what is left of a value.

    >>> fade(1_000, 600_000, 600_000), fade(1_000, 0, 600_000)
    (500, 1000)
    """
    return round(value * 2.0 ** (-age_ms / half_ms)) if age_ms > 0 else value


def lean(fading: Fading, tags: Sequence[str], amount: int, ts: int, half_ms: int) -> None:
    """Add an amount to the tags of an item, in place; beyond `MOST_TAGS` the weakest gives way.

    >>> known = {}
    >>> lean(known, ["jazz"], 1_000, 0, half_ms=600_000)
    >>> lean(known, ["jazz", "live"], 1_000, 600_000, half_ms=600_000)
    >>> known
    {'jazz': (1500, 600), 'live': (1000, 600)}
    """
    now_s = ts // 1000
    for tag in {tag[:TAG_CHARS]: None for tag in tags[:ITEM_TAGS]}:
        value, since_s = fading.get(tag, (0, now_s))
        fading[tag] = fade(value, 1000 * (now_s - since_s), half_ms) + amount, max(now_s, since_s)
    while len(fading) > MOST_TAGS:
        left = {tag: abs(value) for tag, value in _left(fading, ts, half_ms).items()}
        del fading[min(left, key=lambda tag: (left[tag], tag))]


def interest(seen: Glance) -> int:
    """Return how much a touch speaks for its item's tags, from −`UNITS` to `UNITS`."""
    _, _, action, pleased = seen
    if action == DISLIKE:
        return -UNITS
    return UNITS // 2 if pleased == UNKNOWN else pleased


def show(leanings: Leanings, ts: int, request_id: str, items: list[str], surface: str) -> None:
    """Take a slate into account, in place; a second time changes nothing."""
    slate, place = (ts, request_id, items), (ts, surface)
    if slate not in leanings.slates:
        insort(leanings.slates, slate)
        del leanings.slates[:-LIMIT]
    if place not in leanings.places:
        insort(leanings.places, place)
        del leanings.places[:-LIMIT]


def settle(
    leanings: Leanings,
    touches: Sequence[Touch],
    times: Iterable[int],
    counts_at: Callable[[int], Counts],
    since: int,
    until: int,
    tags: Tags,
) -> None:
    """Add up what no moment from `until` on sees otherwise, in place; what lies before `since` is settled.

    Args:
        leanings: of the user.
        touches: all that the session has not let go of.
        times: when the user did anything, in any order.
        counts_at: the user's counters before a moment that is not settled.
        since: until where all is settled.
        until: nothing before it will be heard of any more.
        tags: of an item.
    """
    leanings.visit = visit(leanings.visit, (t for t in times if since <= t < until), counts_at)
    for one in _begun(touches, since - TOUCH_MS, until - TOUCH_MS):
        lean(leanings.long, tags(one.item_id), interest(one.seen), one.began, LONG_MS)
    slates = leanings.slates
    while slates and slates[0][0] + TOUCH_MS <= until:
        _pass_over(leanings.passed, slates.pop(0), touches, until, tags)
    leanings.path = _path(leanings, until)
    leanings.places = [place for place in leanings.places if place[0] >= until]


def visit(known: Spell | None, times: Iterable[int], counts_at: Callable[[int], Counts]) -> Spell | None:
    """Go on with a visit, or begin another where the user did nothing for long.

    >>> visit(None, [5, 0, VISIT_GAP_MS + 10, VISIT_GAP_MS + 20], lambda ts: [ts])
    Spell(start=1800010, last=1800020, before=[1800010])
    """
    start, last = (0, -VISIT_GAP_MS - 1) if known is None else (known.start, known.last)
    for ts in sorted(times):
        if ts - last > VISIT_GAP_MS:
            start = ts
        last = ts
    if last < 0:
        return None
    is_known = known is not None and start == known.start
    return Spell(start, last, known.before if known is not None and is_known else counts_at(start))


def intent(
    leanings: Leanings,
    touches: Sequence[Touch],
    times: Iterable[int],
    counts_at: Callable[[int], Counts],
    settled: int,
    ts: int,
    tags: Tags,
) -> tuple[Intent, Counts | None]:
    """Return what the user was after strictly before `ts`, and the counters before the visit, if it goes on.

    Args:
        leanings: of the user.
        touches: those of the session that may be seen.
        times: when the user did anything, in any order.
        counts_at: the user's counters before a moment that is not settled.
        settled: until where `settle` has added up.
        ts: a moment not before it.
        tags: of an item.
    """
    now = visit(leanings.visit, (t for t in times if settled <= t < ts), counts_at)
    if now is not None and ts - now.last > VISIT_GAP_MS:
        now = None  # the user has come back only with this slate
    long, passed = dict(leanings.long), dict(leanings.passed)
    for one in _begun(touches, settled - TOUCH_MS, ts):
        seen = one.seen if one.seen[0] < ts else glance(one.item_id, [m for m in one.marks if m[0] < ts])[0]
        lean(long, tags(one.item_id), interest(seen), one.began, LONG_MS)
    for slate in leanings.slates:
        if slate[0] < ts:
            _pass_over(passed, slate, touches, ts, tags)
    told = Intent(
        visit_s=0.0 if now is None else max(0, ts - now.start) / 1000,
        long=_strongest(long, ts, LONG_MS),
        passed=_strongest(passed, ts, PASSED_MS),
        path=_path(leanings, ts),
    )
    return told, None if now is None else now.before


def recent_interest(glances: Sequence[Glance], ts: int, tags: Tags) -> dict[str, float]:
    """Return the interests of the moment, from the last touches, oldest first."""
    short: Fading = {}
    for seen in glances:
        if seen[0] >= ts - 6 * SHORT_MS:
            lean(short, tags(seen[1]), interest(seen), seen[0], SHORT_MS)
    return _strongest(short, ts, SHORT_MS)


def tallies(glances: Iterable[Glance], tags: Tags) -> tuple[dict[str, float], dict[str, float]]:
    """Return by tag what was taken up, and for how much of the time that it takes; the most first.

    >>> from stream.touches import DWELL, LIKE
    >>> tallies([(5, "a", CLICK, 250), (9, "a", DWELL, 500), (9, "b", LIKE, 1_000)], lambda item_id: ["jazz"])
    ({'jazz': 2.0}, {'jazz': 0.75})
    """
    clicked: defaultdict[str, int] = defaultdict(int)
    stayed: defaultdict[str, int] = defaultdict(int)
    for _, item_id, action, share in glances:
        for tag in {tag[:TAG_CHARS]: None for tag in tags(item_id)[:ITEM_TAGS]}:
            if CLICK <= action < DISLIKE:
                clicked[tag] += UNITS
            if action <= CLICK and share > 0:  # else it tells what was said
                stayed[tag] += share
    return _most(clicked), _most(stayed)


def _path(leanings: Leanings, ts: int) -> list[str]:
    """The last changes of surface before a moment."""
    places = leanings.path + [surface for at, surface in leanings.places if at < ts]
    return [surface for surface, _ in groupby(places)][-PATH:]


def _begun(touches: Sequence[Touch], since: int, until: int) -> list[Touch]:
    """The touches that began in a span of time, in that order."""
    begun = [one for one in touches if since <= one.began < until]
    return sorted(begun, key=lambda one: (one.began, one.item_id, one.request_id))


def _pass_over(
    passed: Fading, slate: tuple[int, str, list[str]], touches: Sequence[Touch], ts: int, tags: Tags
) -> None:
    """Add the items that the user had not taken up by `ts`, nor within the time of a touch."""
    shown, request_id, items = slate
    until = min(ts, shown + TOUCH_MS)
    taken = {one.item_id for one in touches if one.request_id == request_id and shown <= one.began < until}
    for item_id in items:
        if item_id not in taken:
            lean(passed, tags(item_id), UNITS, shown, PASSED_MS)


def _most(sums: Mapping[str, int]) -> dict[str, float]:
    """The tags with the largest sums, in thousandths, the largest first."""
    known = sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:MOST_TAGS]
    return {tag: total / UNITS for tag, total in known if total}


def _strongest(fading: Fading, ts: int, half_ms: int) -> dict[str, float]:
    """The tags that count most, the strongest first."""
    known = sorted(_left(fading, ts, half_ms).items(), key=lambda one: (-abs(one[1]), one[0]))
    return {tag: value / UNITS for tag, value in known if value}


def _left(fading: Fading, ts: int, half_ms: int) -> dict[str, int]:
    """What is left of every tag, in thousandths."""
    return {tag: fade(value, ts - 1000 * since_s, half_ms) for tag, (value, since_s) in fading.items()}
