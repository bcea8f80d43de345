"""PURE: what a user did lately: bounded, foldable again without harm, visible as of any recent time.

After a crash the open window is read again while the stored state already knows what came later. So every
part keeps its event time: folding an event a second time changes nothing, and `as_of` shows a moment of the
past as it was. Both are exact for times that the caller has not yet allowed to be settled into counters.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from operator import itemgetter

import msgspec

from schemas.events import Click, Dwell, Feedback, Impression, Search, UserEvent
from schemas.labels import Session, SessionItem
from stream.touches import COUNTERS, Glance, Mark, Touch, glance, mark, order

RECENT = 50
"""At most so many touched items are shown in a `Session`."""

LIMIT = 200
"""Entries of each kind kept although they may not be settled yet; nobody honest reaches it."""

MARKS = 16
"""Marks kept per touched item; players send dwell as a heartbeat."""

QUERY_MS = 1_800_000
"""A search is the query of the moment for half an hour."""

QUERY_CHARS = 256


class SessionState(msgspec.Struct):
    """One user's state, JSON-able by msgspec; every list is ordered by time.

    slates are (ts, request_id, number of items), searches (ts, event_id, query). `settled` counts what has
    left the lists and `settled_ts` says up to which time, by list: older events change nothing any more.
    """

    touches: list[Touch] = []
    slates: list[tuple[int, str, int]] = []
    searches: list[tuple[int, str, str]] = []
    settled: dict[str, float] = {}
    settled_ts: dict[str, int] = {}


def fold(
    state: SessionState, event: UserEvent, duration_ms: float | None = None, settle_before: int = 0
) -> SessionState:
    """Fold one event into `state`, in place, and return it; folding an event again changes nothing.

    Args:
        state: the user's state, owned by the caller.
        event: of this user; events may come in any order.
        duration_ms: the length of a dwelt item, if known.
        settle_before: no moment before this event time will be asked for, nor an event of it read again.
    """
    if isinstance(event, Impression):
        _add_slate(state, (event.ts, event.request_id, len(event.items)), settle_before)
    elif isinstance(event, Search):
        _add_search(state, (event.ts, event.event_id, event.query[:QUERY_CHARS]), settle_before - QUERY_MS)
    else:
        _add_mark(state, event, mark(event, duration_ms))
        _settle_touches(state, settle_before)
    return state


def as_of(state: SessionState, ts: int, request_id: str | None = None) -> Session:
    """Return what was known strictly before `ts`, leaving out touches of `request_id` itself.

    Clocks differ: a click stamped before its own impression must not leak into its own label.
    """
    counters = dict(state.settled)
    touches = [touch for touch in state.touches if touch.marks[0][0] < ts and touch.request_id != request_id]
    glances = [glance(touch, ts) for touch in touches]
    glances.sort(key=itemgetter(0, 1, 2))  # in order already, but for touches that went on after `ts`
    _count(counters, glances)
    _add(counters, "impressions", sum(slate[2] for slate in state.slates if slate[0] < ts))
    searches = state.searches[: bisect_left(state.searches, (ts,))]
    _add(counters, "searches", len(searches))
    query = searches[-1][2] if searches and searches[-1][0] >= ts - QUERY_MS else None
    recent = [
        SessionItem(
            item_id=seen.item_id,
            action=seen.action,
            satisfaction=seen.satisfaction,
            age_s=(ts - seen.ts) / 1000,
        )
        for seen in glances[-RECENT:]
    ]
    known = {name: count for name, count in counters.items() if count}
    return Session(recent=recent, query=query, counters=known)


def _add_slate(state: SessionState, slate: tuple[int, str, int], settle_before: int) -> None:
    if slate[0] <= state.settled_ts.get("slates", -1) or slate in state.slates:
        return
    insort(state.slates, slate)
    while len(state.slates) > LIMIT or (state.slates and state.slates[0][0] < settle_before):
        ts, _, items = state.slates.pop(0)
        _add(state.settled, "impressions", items)
        state.settled_ts["slates"] = ts


def _add_search(state: SessionState, search: tuple[int, str, str], settle_before: int) -> None:
    if search[0] <= state.settled_ts.get("searches", -1) or search in state.searches:
        return
    insort(state.searches, search)
    while len(state.searches) > LIMIT or (state.searches and state.searches[0][0] < settle_before):
        _add(state.settled, "searches", 1)
        state.settled_ts["searches"] = state.searches.pop(0)[0]


def _add_mark(state: SessionState, event: Click | Dwell | Feedback, new: Mark) -> None:
    """Add a mark to its touch, or begin a touch with it."""
    request_id = event.request_id or f"feedback:{event.event_id}"
    index = _find(state.touches, request_id, event.item_id)
    if index is None:
        if new[0] > state.settled_ts.get("touches", -1):
            insort(state.touches, Touch(request_id, event.item_id, [new]), key=order)
        return
    touch = state.touches[index]
    if new not in touch.marks and len(touch.marks) < MARKS:
        insort(touch.marks, new)
        if touch.marks[-1] is new and index < len(state.touches) - 1:  # it is the newest now
            insort(state.touches, state.touches.pop(index), key=order)


def _find(touches: list[Touch], request_id: str, item_id: str) -> int | None:
    for index in range(len(touches) - 1, -1, -1):  # what is marked now was mostly touched a moment ago
        touch = touches[index]
        if touch.item_id == item_id and touch.request_id == request_id:
            return index
    return None


def _settle_touches(state: SessionState, settle_before: int) -> None:
    """Let go of touches that no moment still to be asked for would show among its `RECENT`."""
    touches = state.touches
    while len(touches) > LIMIT or (len(touches) > RECENT and touches[RECENT].marks[-1][0] < settle_before):
        touch = touches.pop(0)
        last = touch.marks[-1][0]
        _count(state.settled, [glance(touch, last + 1)])
        state.settled_ts["touches"] = last


def _count(counters: dict[str, float], glances: Iterable[Glance]) -> None:
    for name, column in zip(COUNTERS, zip(*(seen.counts for seen in glances), strict=True), strict=False):
        _add(counters, name, sum(column))


def _add(counters: dict[str, float], name: str, count: float) -> None:
    counters[name] = counters.get(name, 0.0) + count
