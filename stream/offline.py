"""PURE: a log as one partition: the live path's fold, without a clock, a broker or commits."""

from collections.abc import Iterable, Iterator

from schemas.events import Click, Dwell, Feedback, Impression, Search, UserEvent
from schemas.labels import LabeledSlate
from schemas.topics import CLICKS, DWELLS, FEEDBACK, IMPRESSIONS, SEARCHES
from stream.folding import PartitionFold

TOPICS: dict[type[UserEvent], str] = {
    Impression: IMPRESSIONS.name,
    Click: CLICKS.name,
    Dwell: DWELLS.name,
    Feedback: FEEDBACK.name,
    Search: SEARCHES.name,
}
"""Which topic an event would have come from."""

NO_CLOCK = 0
"""A log has no wall clock: its watermark moves with its events alone."""

BATCH = 1_000
"""Events between two looks at the watermark. No label depends on it."""

LOOKS = 2
"""Users looked at for every event, whether they are long gone: more than can be new."""


def label(
    events: Iterable[UserEvent], fold: PartitionFold[None], every: int = BATCH
) -> Iterator[LabeledSlate]:
    """Yield all labels of a log whose events come in order of time, also of the slates open at its end."""
    for number, event in enumerate(events, start=1):
        labels = fold.fold(event, TOPICS[type(event)], None, NO_CLOCK)
        if labels:
            yield from labels
        if number % every == 0:
            yield from fold.advance(NO_CLOCK)
            release(fold)
            fold.expire(LOOKS * every)
    yield from fold.drain()


def release(fold: PartitionFold[None]) -> None:
    """Let go of what a live worker would commit and write."""
    fold.done_tokens()
    fold.let_go()
    fold.take_changed()
