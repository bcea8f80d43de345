"""SHELL: MovieLens (Harper & Konstan, 2015) as an event log: explicit ratings of films, without impressions.

A rating becomes a `Feedback` of kind `rating` at its own time, which the source gives in whole seconds.
Ratings of the same second are ordered by (movieId · 2654435761 + userId · 40503) mod 2³², so that no
column's order, which often follows the film's number, decides what is learned first. The source does not
say when a film entered the catalogue: all items are placed at the first rating. Users' own tags are left
out: as text of a film they would tell of the future.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from schemas.events import Feedback, Item
from stream.conversion.log import ConvertedLog
from stream.conversion.source import Row, csv_rows

_YEAR = re.compile(r"^(?P<name>.*?)\s*\((?P<year>\d{4})\)\s*$")
_EPOCH_YEAR = 1970


def convert(source: Path) -> ConvertedLog:
    """Read a MovieLens directory: `ratings.csv` and `movies.csv`.

    Raises:
        LogDirectoryError: one of the files is not there.
    """
    ratings = sorted(csv_rows(source, "ratings.csv"), key=_order)
    first_ts = _ts(ratings[0]) if ratings else 0
    log = ConvertedLog()
    log.extend(items(csv_rows(source, "movies.csv"), first_ts))
    log.extend(feedback(row) for row in ratings)
    return log


def feedback(row: Row) -> Feedback:
    """One rating, from 0.5 to 5; a user rates a film once, so the pair is the id."""
    return Feedback(
        event_id=f"movielens-{row['userId']}-{row['movieId']}",
        user_id=row["userId"],
        item_id=row["movieId"],
        ts=_ts(row),
        kind="rating",
        value=float(row["rating"]),
    )


def items(movies: Iterable[Row], ts: int) -> Iterator[Item]:
    """The catalogue: title and year apart, genres as tags."""
    for movie in movies:
        named = _YEAR.match(movie["title"])
        year = int(named["year"]) if named else None
        yield Item(
            item_id=movie["movieId"],
            ts=ts,
            title=named["name"] if named else movie["title"],
            tags=[] if movie["genres"].startswith("(") else movie["genres"].split("|"),
            attributes={} if year is None else {"year": year},
            created_ts=_january(year),
        )


def _january(year: int | None) -> int | None:
    """The first millisecond of a year; none for films older than the epoch, which timestamps cannot say."""
    if year is None or year < _EPOCH_YEAR:
        return None
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)


def _ts(row: Row) -> int:
    return int(row["timestamp"]) * 1000


def _order(row: Row) -> tuple[int, int]:
    return int(row["timestamp"]), (int(row["movieId"]) * 2654435761 + int(row["userId"]) * 40503) % 2**32
