"""PURE: what KuaiRand's users had watched before the log begins, as dwells and likes that warm sessions up.

`user_sequences.parquet` lists, per user and oldest first, the last videos shown before the log (at most 50),
and of those the long-watched and the liked (these lists reach further back: what they name beyond the
last videos is left out, and a repeat is taken for the newest that fits). It has no times and no lengths of
stay. Assumed here: the last video of every user was shown `BEFORE_MS` before the log's first event, and each
earlier one a minute earlier, so that only the order is real; and a stay was the shortest that its flag
allows: min(duration, 18 s), the source's own rule for a long view, or 0. Impressions are not made up: these
dwells have none, so they become no labels, and only the sessions know them. What all histories together say
of a video becomes numbers of the video.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final

from schemas.events import Dwell, Feedback
from schemas.record import Scalar
from stream.satisfaction import ATTENTION_MS

BEFORE_MS: Final = 86_400_000
_APART_MS: Final = 60_000
_STRENGTH: Final = 10.0
"""Views, at the average rate, that a video's own are added to."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One video of a user's history."""

    item_id: str
    long: bool
    liked: bool


def history(row: dict[str, Any]) -> list[Watched]:
    """The history of one row of the source, oldest first."""
    watched = row["watch_seq"]
    longs, likes = (_flags(watched, row[column]) for column in ("long_watch_seq", "like_seq"))
    return [
        Watched(item_id=str(video), long=long, liked=liked)
        for video, long, liked in zip(watched, longs, likes, strict=True)
    ]


def events(
    user_id: str, watched: Sequence[Watched], durations: Mapping[str, float], start_ts: int
) -> Iterator[Dwell | Feedback]:
    """A dwell for every video of a history, and a like where it was liked; `start_ts` is the log's first."""
    for age, video in enumerate(reversed(watched)):
        request_id = f"kuairand-before-{user_id}-{age}"
        ts = start_ts - BEFORE_MS - age * _APART_MS
        least = min(durations.get(video.item_id) or ATTENTION_MS, ATTENTION_MS) if video.long else 0.0
        yield Dwell(
            event_id=f"{request_id}-dwell",
            request_id=request_id,
            user_id=user_id,
            item_id=video.item_id,
            ts=ts,
            dwell_ms=least,
        )
        if video.liked:
            yield Feedback(
                event_id=f"{request_id}-like",
                request_id=request_id,
                user_id=user_id,
                item_id=video.item_id,
                ts=ts,
                kind="like",
            )


def standing(histories: Iterable[Sequence[Watched]]) -> dict[str, dict[str, Scalar]]:
    """How often each video was watched before the log, and its log-odds of a long view and of a like.

    Odds are above the average's and smoothed; a video that nobody had watched is not in the result.
    """
    watched = [video for history in histories for video in history]
    views = Counter(video.item_id for video in watched)
    longs = Counter(video.item_id for video in watched if video.long)
    likes = Counter(video.item_id for video in watched if video.liked)
    return {
        video: {
            "views_before": log(1 + count),
            "long_views_before": _above_average(longs[video], count, longs.total() / len(watched)),
            "likes_before": _above_average(likes[video], count, likes.total() / len(watched)),
        }
        for video, count in views.items()
    }


def _above_average(hits: int, views: int, average: float) -> float:
    """Smoothed log-odds above the average's; 0 where the average is 0 or 1 and nothing can be above it.

    >>> _above_average(0, 0, 0.3), _above_average(10, 10, 0.5) > 0
    (0.0, True)
    """
    if not 0 < average < 1:
        return 0.0
    rate = (hits + _STRENGTH * average) / (views + _STRENGTH)
    return log(rate / (1 - rate)) - log(average / (1 - average))


def _flags(watched: Sequence[int], named: Sequence[int]) -> list[bool]:
    """Which of the watched are named, both oldest first; matched from the newest on.

    >>> _flags([1, 2, 1, 3], [9, 2, 1])
    [False, True, True, False]
    """
    left = list(named)
    flags = []
    for video in reversed(watched):
        flags.append(bool(left) and left[-1] == video)
        if flags[-1]:
            left.pop()
    return flags[::-1]
