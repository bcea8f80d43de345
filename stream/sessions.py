"""PURE: what a user did lately: bounded, foldable again without harm, visible as of any recent time.

After a crash the open window is read again while the stored state already knows what came later. So what is
recent keeps its event times: folding an event a second time changes nothing, and `as_of` shows a moment of
the past as it was. Both are exact for times that the caller has not yet allowed to be settled; what is
settled keeps how it looked, and nothing else.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from functools import partial

import msgspec

from schemas.events import Impression, Search, UserEvent
from schemas.labels import Intent, Session, SessionItem
from stream.intent import Leanings, Tags, intent, recent_interest, settle, show, tallies
from stream.touches import (
    ACTIONS,
    COUNTERS,
    TOUCH_MS,
    UNITS,
    UNKNOWN,
    Counts,
    Glance,
    Mark,
    Touch,
    glance,
    mark,
    order,
    touch,
)

RECENT = 50
"""At most so many touched items are shown in a `Session`."""

LIMIT = 200
"""Entries of each kind kept although they may not be settled yet; nobody honest reaches it."""

MARKS = 16
"""Marks kept per touched item, the oldest; players send dwell as a heartbeat."""

QUERY_MS = 1_800_000
"""A search is the query of the moment for half an hour."""

QUERY_CHARS = 256
"""Of a query so much is told: a longer one would make labels that no topic takes."""

QUERIES = 4
"""At most so many of the last searches are told of."""

EXPIRY_MS = 90 * 86_400_000
"""Touches older than this are no longer shown, and who does nothing for so long is forgotten."""

IMPRESSIONS, SEARCHES = len(COUNTERS), len(COUNTERS) + 1
NAMES = (*COUNTERS, "impressions", "searches")
_SATISFIED = COUNTERS.index("satisfied")


class SessionState(msgspec.Struct, array_like=True, gc=False):
    """One user's state, encodable by msgspec; every list is ordered by time.

    touches may still change; settled are those before, at most `RECENT`. slates are (ts, request_id, number
    of items), searches (ts, event_id, query). counts are of everything ever, in the order of `NAMES`.
    Nothing that lies before `settled_ts` changes anything any more. `newest_ts` is of the newest event; 0
    where nobody has noted it.
    """

    touches: list[Touch] = []
    slates: list[tuple[int, str, int]] = []
    searches: list[tuple[int, str, str]] = []
    settled: list[Glance] = []
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(NAMES))
    settled_ts: int = 0
    leanings: Leanings | None = None
    newest_ts: int = 0


def fold(
    state: SessionState,
    event: UserEvent,
    duration_ms: float | None = None,
    settle_before: int = 0,
    tags: Tags | None = None,
    remember_ms: int = 0,
) -> SessionState:
    """Fold one event into `state`, in place, and return it; folding an event again changes nothing.

    Who comes back after `EXPIRY_MS` begins anew: so nothing shows of when such a state is deleted.

    Args:
        state: the user's state, owned by the caller.
        event: of this user; events may come in any order.
        duration_ms: the length of a dwelt item, if known.
        settle_before: no moment before this event time will be asked for, nor an event of it read again.
        tags: of an item, if intent is asked for.
        remember_ms: for so long before what is settled `shown_at` still knows.
    """
    if event.ts > state.newest_ts:
        _grow_older(state, event.ts)
    if settle_before > state.settled_ts:
        _settle_until(state, settle_before, tags, remember_ms)
    if (tags is None) != (state.leanings is None):  # the worker's settings have changed
        state.leanings = None if tags is None else Leanings()
    if type(event) is Impression:
        if state.leanings is not None and event.ts >= state.settled_ts:
            items = [item.item_id for item in event.items]
            show(state.leanings, event.ts, event.request_id, items, event.surface)
        _add_slate(state, (event.ts, event.request_id, len(event.items)))
    elif type(event) is Search:
        _add_search(state, (event.ts, event.event_id, event.query[:QUERY_CHARS]))
    elif event.ts >= state.settled_ts:
        request_id = event.request_id or f"feedback:{event.event_id}"
        new = mark(event, duration_ms)
        if new is not None:
            _add_mark(state, request_id, event.item_id, new)
    return state


def _grow_older(state: SessionState, ts: int) -> None:
    if 0 < state.newest_ts <= ts - EXPIRY_MS:
        new = SessionState(settled_ts=state.settled_ts)
        for name in SessionState.__struct_fields__:
            setattr(state, name, getattr(new, name))
    state.newest_ts = ts


def erased(ts: int) -> SessionState:
    """Return the state of a user who asked at `ts` to be forgotten: nothing, to which nothing older is added.

    What was done before may be read later, where its topic lags, or again after a crash. Once it cannot, the
    state has expired.
    """
    return SessionState(settled_ts=ts, newest_ts=max(1, ts - EXPIRY_MS))


def as_of(state: SessionState, ts: int, request_id: str | None = None, tags: Tags | None = None) -> Session:
    """Return what was known strictly before `ts`, leaving out touches of `request_id` itself.

    Clocks differ: a click stamped before its own impression must not leak into its own label. Intent is
    told where `tags` are given, and only of moments that are not settled.
    """
    counts = state.counts[:]
    glances = _glances(state, counts, ts, request_id)
    for slate in reversed(state.slates):
        if slate[0] < ts:
            break
        counts[IMPRESSIONS] -= slate[2]
    query = _query(state, counts, ts) if state.searches else None
    told = Session(recent=_recent(glances, ts), query=query, counters=_counters(counts))
    if tags is None or state.leanings is None or told == Session():
        return told
    after = _intent(state, state.leanings, counts, glances, ts, request_id, tags)
    return msgspec.structs.replace(told, intent=after)


def asking(session: Session, query: str | None) -> Session:
    """Return the session of who asks that now: what comes with a request is newer than any search."""
    return session if query is None else msgspec.structs.replace(session, query=query[:QUERY_CHARS])


def shown_at(state: SessionState, request_id: str) -> list[int]:
    """Return when the user was shown the slate of a request, as far as that is remembered."""
    return [at for at, known, _ in state.slates if known == request_id]


def _intent(
    state: SessionState,
    leanings: Leanings,
    counts: list[int],
    glances: list[Glance],
    ts: int,
    request_id: str | None,
    tags: Tags,
) -> Intent:
    """What the user is after, as of a moment with these counts and glances."""
    others = [one for one in state.touches if one.request_id != request_id]
    counts_at = partial(_counts_at, state, request_id)
    told, before = intent(leanings, others, _times(state, others), counts_at, state.settled_ts, ts, tags)
    searched = [query for at, _, query in state.searches if ts - QUERY_MS <= at < ts]
    here = [] if before is None else [now - then for now, then in zip(counts, before, strict=True)]
    clicked, stayed = tallies((seen for seen in glances if ts - EXPIRY_MS <= seen[0] < ts), tags)
    return msgspec.structs.replace(
        told,
        counters=_counters(here) if here else {},
        short=recent_interest(glances, ts, tags),
        clicked=clicked,
        stayed=stayed,
        queries=searched[-QUERIES:],
    )


def _times(state: SessionState, touches: Iterable[Touch]) -> Iterable[int]:
    """When the user did anything that is not settled, or was shown something."""
    for one in touches:
        yield from (mark[0] for mark in one.marks)
    yield from (slate[0] for slate in state.slates)
    yield from (search[0] for search in state.searches)


def _counts_at(state: SessionState, request_id: str | None, ts: int) -> list[int]:
    """The counters before a moment that is not settled, leaving out touches of `request_id`."""
    counts = state.counts[:]
    _glances(state, counts, ts, request_id)
    counts[IMPRESSIONS] -= sum(number for at, _, number in state.slates if at >= ts)
    counts[SEARCHES] -= sum(at >= ts for at, _, _ in state.searches)
    return counts


def _query(state: SessionState, counts: list[int], ts: int) -> str | None:
    """The query of the moment; searches that came later are taken out of `counts`."""
    before = bisect_left(state.searches, (ts,))
    counts[SEARCHES] -= len(state.searches) - before
    if before and state.searches[before - 1][0] >= ts - QUERY_MS:
        return state.searches[before - 1][2]
    return None


def _glances(state: SessionState, counts: list[int], ts: int, request_id: str | None) -> list[Glance]:
    """Return the last touches as they were before `ts`; take the rest, and the request's, out of `counts`."""
    glances, parts = state.settled[:], []
    for one in state.touches:
        if one.request_id == request_id:
            _add(counts, one.counts, -1)
        elif one.seen[0] < ts:
            glances.append(one.seen)
        else:
            _add(counts, one.counts, -1)
            if one.began < ts:
                seen, counted = glance(one.item_id, [mark for mark in one.marks if mark[0] < ts])
                _add(counts, counted, 1)
                parts.append(seen)
    if parts:
        glances = sorted(glances + parts)
    return glances[-RECENT:] if len(glances) > RECENT else glances


def _recent(glances: list[Glance], ts: int) -> list[SessionItem]:
    if glances and glances[-1][0] >= ts:  # settled already: an answer may look further back than any label
        glances = glances[: bisect_left(glances, (ts,))]
    if glances and glances[0][0] < ts - EXPIRY_MS:
        glances = glances[bisect_left(glances, (ts - EXPIRY_MS,)) :]
    return [
        SessionItem(
            item_id=item_id,
            action=ACTIONS[action],
            satisfaction=None if pleased == UNKNOWN else pleased / UNITS,
            age_s=(ts - at) / 1000,
        )
        for at, item_id, action, pleased in glances
    ]


def _counters(counts: list[int]) -> dict[str, float]:
    known: dict[str, float] = {}
    for at, count in enumerate(
        counts
    ):  # every label comes through here, and a strict zip takes a microsecond
        if count:
            known[NAMES[at]] = count
    if counts[_SATISFIED]:
        known["satisfied"] = counts[_SATISFIED] / UNITS
    return known


def _add_slate(state: SessionState, slate: tuple[int, str, int]) -> None:
    slates = state.slates
    if slate[0] < state.settled_ts or slate in slates:
        return
    insort(slates, slate)
    state.counts[IMPRESSIONS] += slate[2]
    if len(slates) > LIMIT:
        del slates[0]


def _add_search(state: SessionState, search: tuple[int, str, str]) -> None:
    if search[0] < state.settled_ts or search in state.searches:
        return
    insort(state.searches, search)
    state.counts[SEARCHES] += 1
    if len(state.searches) > LIMIT:
        del state.searches[0]


def _add_mark(state: SessionState, request_id: str, item_id: str, new: Mark) -> None:
    """Add a mark to its touch, or begin a touch with it."""
    touches = state.touches
    # Ids of requests tell more apart than those of items, and a property costs as much as a call.
    known = [n for n, one in enumerate(touches) if one.request_id == request_id and one.seen[1] == item_id]
    if not known:
        _insert(state, request_id, item_id, [new])
        return
    marks = [mark for place in known for mark in touches[place].marks]
    if new in marks or (len(marks) >= MARKS and marks[-1] < new):
        return
    insort(marks, new)
    del marks[MARKS:]
    for place in reversed(known):
        _add(state.counts, touches.pop(place).counts, -1)
    for group in _groups(marks):
        _insert(state, request_id, item_id, group)


def _groups(marks: list[Mark]) -> Iterable[list[Mark]]:
    """Split marks, oldest first, so that none is later than `TOUCH_MS` after the first of its group."""
    if marks[-1][0] < marks[0][0] + TOUCH_MS:  # as nearly always
        return [marks]
    end = bisect_left(marks, (marks[0][0] + TOUCH_MS,))
    return [marks[:end], *_groups(marks[end:])]


def _insert(state: SessionState, request_id: str, item_id: str, marks: list[Mark]) -> None:
    (new, counts), touches = touch(request_id, item_id, marks), state.touches
    if not touches or touches[-1].seen[0] < new.seen[0]:
        touches.append(new)
    else:
        insort(touches, new, key=order)
    _add(state.counts, counts, 1)
    if len(touches) > LIMIT:
        _settle_first(state, 1)


def _settle_until(state: SessionState, until: int, tags: Tags | None, remember_ms: int) -> None:
    if state.leanings is not None and tags is not None:
        _settle_leanings(state, state.leanings, until, tags)
    state.settled_ts = until
    _settle(state, remember_ms)


def _settle_leanings(state: SessionState, leanings: Leanings, until: int, tags: Tags) -> None:
    times = _times(state, state.touches)
    counts_at = partial(_counts_at, state, None)
    settle(leanings, state.touches, times, counts_at, state.settled_ts, until, tags)


def _settle(state: SessionState, remember_ms: int) -> None:
    """Let go of what no moment still to be asked for would see otherwise than it is now."""
    touches, slates, searches, until = state.touches, state.slates, state.searches, state.settled_ts
    over = 0
    for one in touches:
        if one.began + TOUCH_MS > until:
            break
        over += 1
    if over:
        _settle_first(state, over)
    while slates and slates[0][0] < until - remember_ms:
        del slates[0]
    while searches and searches[0][0] < until - QUERY_MS:
        del searches[0]


def _settle_first(state: SessionState, number: int) -> None:
    """Let go of the oldest touches, except for how they looked."""
    state.settled += [one.seen for one in state.touches[:number]]
    del state.touches[:number], state.settled[:-RECENT]


def _add(counts: list[int], more: Counts, sign: int) -> None:
    # Written out, and most are 0: every event and every label comes through here.
    clicks, dwells, satisfied, likes, negatives = more
    if clicks:
        counts[0] += sign * clicks
    if dwells:
        counts[1] += sign * dwells
    if satisfied:
        counts[2] += sign * satisfied
    if likes:
        counts[3] += sign * likes
    if negatives:
        counts[4] += sign * negatives
