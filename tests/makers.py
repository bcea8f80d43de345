"""Short ways to write events in tests; ids follow from what is told apart."""

from schemas.events import Click, Dwell, Feedback, Impression, Search, ShownItem


def impression(request_id: str, ts: int, items: str = "abc", user_id: str = "u", **more) -> Impression:
    """A slate of one-letter items."""
    shown = [ShownItem(item_id=item_id, position=place) for place, item_id in enumerate(items)]
    more.setdefault("event_id", f"i-{request_id}")
    return Impression(request_id=request_id, user_id=user_id, ts=ts, items=shown, **more)


def click(request_id: str, ts: int, item_id: str = "a", user_id: str = "u", **more) -> Click:
    more.setdefault("event_id", f"c-{request_id}-{item_id}-{ts}")
    return Click(request_id=request_id, user_id=user_id, item_id=item_id, ts=ts, **more)


def dwell(request_id: str, ts: int, dwell_ms: float, item_id: str = "a", user_id: str = "u") -> Dwell:
    event_id = f"d-{request_id}-{item_id}-{ts}"
    return Dwell(
        event_id=event_id, request_id=request_id, user_id=user_id, item_id=item_id, ts=ts, dwell_ms=dwell_ms
    )


def feedback(kind: str, ts: int, item_id: str = "a", user_id: str = "u", **more) -> Feedback:
    more.setdefault("event_id", f"f-{kind}-{item_id}-{ts}")
    return Feedback(user_id=user_id, item_id=item_id, ts=ts, kind=kind, **more)


def search(query: str, ts: int, user_id: str = "u") -> Search:
    return Search(event_id=f"s-{query}-{ts}", user_id=user_id, ts=ts, query=query)
