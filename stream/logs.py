"""SHELL: log directories, one file of JSON lines a topic, read in event-time order.

A directory holds any of `impressions`, `clicks`, `dwells`, `feedback`, `searches` and `items`, each as
`NAME.jsonl` or `NAME.jsonl.gz`; a line is a record as it stands on the topic of that name. Event files are
sorted by `ts`.
"""

import gzip
import heapq
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader, RawIOBase
from itertools import chain, dropwhile, pairwise, takewhile
from operator import attrgetter, gt
from pathlib import Path
from typing import IO, TypeVar, cast

from schemas.codec import decode, decode_lines, encode
from schemas.errors import InvalidRecord, LogDirectoryError
from schemas.events import Item, UserEvent
from schemas.record import Record, Ts
from schemas.topics import IMPRESSIONS, ITEMS, USER_EVENTS

R = TypeVar("R", bound=Record)

_CHUNK = 1 << 18
"""Bytes that are read and parsed together."""

_TS = attrgetter("ts")

NAMES = tuple(topic.name for topic in (*USER_EVENTS, ITEMS))
SUFFIXES = (".jsonl", ".jsonl.gz")


class _Stamped(Record, frozen=True, kw_only=True):
    """Any event, of which only the time is looked at."""

    ts: Ts


def read_items(directory: Path) -> Iterator[Item]:
    """Yield the catalogue in file order.

    Raises:
        LogDirectoryError: naming file and line.
    """
    path = _find(directory, ITEMS.name)
    return chain.from_iterable(part for _, part in _parts(path, Item)) if path else iter(())


def read_events(directory: Path) -> Iterator[UserEvent]:
    """Yield all user events by event time; ties in the order of `USER_EVENTS`, then of the file.

    Raises:
        LogDirectoryError: naming file and line, where a line is no record or is older than the one before.
    """
    streams = [
        cast(Iterator[UserEvent], _in_order(path, cast(type[Record], topic.record)))
        for topic in USER_EVENTS
        if (path := _find(directory, topic.name))
    ]
    return merge(streams)


def merge(streams: Sequence[Iterable[UserEvent]]) -> Iterator[UserEvent]:
    """PURE: merge streams that are each sorted by `ts`; ties in the order of the streams.

    >>> from schemas.events import Search
    >>> a, b = (Search(event_id=name, user_id="u", ts=1, query="") for name in "ab")
    >>> [event.event_id for event in merge([[b], [a]])]
    ['b', 'a']
    """
    return heapq.merge(*streams, key=_TS)  # stable, as its documentation promises


def between(events: Iterable[UserEvent], from_ts: int | None, until_ts: int | None) -> Iterator[UserEvent]:
    """PURE: yield the events with from_ts ≤ ts < until_ts of a stream sorted by time; None is no bound."""
    if from_ts is not None:
        events = dropwhile(lambda event: event.ts < from_ts, events)
    if until_ts is not None:
        events = takewhile(lambda event: event.ts < until_ts, events)
    return iter(events)


def count_events(directory: Path, from_ts: int | None = None, until_ts: int | None = None) -> int:
    """Return the number of user events with from_ts ≤ ts < until_ts, over all files."""
    total = 0
    for topic in USER_EVENTS:
        stamps = _stamps(directory, topic.name)
        first = 0 if from_ts is None else bisect_left(stamps, from_ts)
        end = len(stamps) if until_ts is None else bisect_left(stamps, until_ts)
        total += max(0, end - first)
    return total


def split_ts(directory: Path, until: float) -> int:
    """Return the time that divides a log: events with a smaller `ts` are the first part.

    `until` is a share of the impressions, or of all events where there are none (0 to 1), or else that
    time itself in epoch milliseconds.

    Raises:
        LogDirectoryError: a share of a log without events, or what is neither.
    """
    if not 0 <= until < float("inf"):  # NaN is no number either
        raise LogDirectoryError(
            f"{directory}: expected a split from 0 to 1, or epoch milliseconds, got {until}"
        )
    if until > 1:
        return int(until)
    stamps = _stamps(directory, IMPRESSIONS.name)
    if not stamps:
        stamps = sorted(ts for topic in USER_EVENTS for ts in _stamps(directory, topic.name))
    return boundary(stamps, until, str(directory))


def boundary(stamps: Sequence[int], share: float, place: str) -> int:
    """PURE: return the time before which about `share` of the sorted stamps lie; a tie is not divided.

    >>> boundary([10, 20, 20, 30], 0.5, "log"), boundary([10, 20, 20, 30], 1.0, "log")
    (20, 31)
    """
    if not stamps:
        raise LogDirectoryError(f"{place}: expected events to split, got none")
    index = int(share * len(stamps))
    return stamps[index] if index < len(stamps) else stamps[-1] + 1


def write_log(directory: Path, name: str, records: Iterable[Record], gz: bool = False) -> int:
    """Write the records of one topic as a file of a log directory, and return how many there were.

    The bytes depend on the records alone. Events must come sorted by `ts`; `read_events` checks that.

    Raises:
        LogDirectoryError: `name` is no file of a log directory.
    """
    if name not in NAMES:
        raise LogDirectoryError(f"{directory}: expected one of {', '.join(NAMES)}, got {name!r}")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / file_of(name, gz)
    count = 0
    with path.open("wb") as raw:
        # No file name and no time in the header: the same records give the same bytes.
        out = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if gz else raw
        with out:
            for record in records:
                out.write(encode(record) + b"\n")
                count += 1
    return count


def file_of(name: str, gz: bool) -> str:
    """The name of a topic's file in a log directory."""
    return name + SUFFIXES[gz]


def log_files(directory: Path) -> set[str]:
    """Names of the files of a log that a directory has; none where there is no directory."""
    every = {file_of(name, gz) for name in NAMES for gz in (False, True)}
    return {name for name in every if (directory / name).exists()}


def _stamps(directory: Path, name: str) -> list[int]:
    path = _find(directory, name)
    return [event.ts for event in _in_order(path, _Stamped)] if path else []


def _find(directory: Path, name: str) -> Path | None:
    """Return the file of that name, with either suffix; None if the log has none."""
    if not directory.is_dir():
        raise LogDirectoryError(f"{directory}: expected a directory, got nothing of that name")
    found = [path for gz in (False, True) if (path := directory / file_of(name, gz)).exists()]
    if len(found) > 1:
        raise LogDirectoryError(
            f"{directory}: expected one file of {name}, got {found[0].name} and {found[1].name}"
        )
    return found[0] if found else None


def _in_order(path: Path, record: type[R]) -> Iterator[R]:
    """The records of a file that is sorted by time."""
    return chain.from_iterable(_sorted_parts(path, record))


def _sorted_parts(path: Path, record: type[R]) -> Iterator[list[R]]:
    last = 0
    for lines, events in _parts(path, record):
        stamps = [last, *map(_TS, events)]
        if any(map(gt, stamps, stamps[1:])):
            at, (before, ts) = next((n, pair) for n, pair in enumerate(pairwise(stamps), 1) if gt(*pair))
            raise LogDirectoryError(
                f"{path}:{lines + at}: expected ts ≥ {before}, as the line before has, got {ts}"
            )
        last = stamps[-1]
        yield events


def _parts(path: Path, record: type[R]) -> Iterator[tuple[int, list[R]]]:
    """Yield how many lines came before, and the records of some more."""
    number = 0
    with _open(path) as lines:
        try:
            while chunk := lines.readlines(_CHUNK):
                values = decode_lines(record, chunk)
                for part in [values] if values is not None else ([decode(record, line)] for line in chunk):
                    yield number, part
                    number += len(part)
        except InvalidRecord as error:
            raise LogDirectoryError(
                f"{path}:{number + 1}: expected {_article(record)}, got {error}"
            ) from None
        except (OSError, EOFError, zlib.error) as error:
            raise LogDirectoryError(f"{path}:{number + 1}: expected a readable line, got: {error}") from None


def _open(path: Path) -> IO[bytes]:
    if path.suffix != ".gz":
        return path.open("rb")
    return BufferedReader(cast(RawIOBase, gzip.open(path)), _CHUNK)  # a line at a time, in C


def _article(record: type[Record]) -> str:
    name = record.__name__.lower()
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
