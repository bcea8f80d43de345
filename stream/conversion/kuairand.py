"""SHELL: KuaiRand (Gao et al., CIKM 2022) as an event log: short videos shown, played, liked.

A row of `interactions.parquet` is one impression of one video at `time_ms`, on the surface `tab`. The
source logs no time for what the user did with it. Here a click is placed at the time of the impression; a
dwell (`play_time_ms` > 0, with or without a click: some tabs play by themselves) and every like, follow,
comment, forward and hate at the end of the play, impression + `play_time_ms`, since none can be shown to be
earlier. Ids are the row's number in the file. No count over the whole data set is converted: it would tell of
the future. What the log's users had watched before it is converted as `kuairand_history` says, where the
source has it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from schemas.events import Click, Dwell, Feedback, FeedbackKind, Impression, Item, ShownItem
from schemas.record import Scalar
from stream.conversion import kuairand_history
from stream.conversion.kuairand_history import Watched
from stream.conversion.log import ConvertedLog, Timed
from stream.conversion.source import Row, csv_rows, parquet_rows

_HISTORY = "user_sequences.parquet"
_FEEDBACK: dict[str, FeedbackKind] = {
    "is_like": "like",
    "is_follow": "follow",
    "is_comment": "comment",
    "is_forward": "share",
    "is_hate": "dislike",
}


def convert(source: Path) -> ConvertedLog:
    """Read a KuaiRand directory: `interactions.parquet`, `videos.csv`, and `user_sequences.parquet` if there.

    Raises:
        LogDirectoryError: one of the files is not there.
    """
    rows = list(parquet_rows(source, "interactions.parquet"))
    histories = dict(_histories(source, rows))
    catalogue = list(
        items(csv_rows(source, "videos.csv"), _durations(rows), kuairand_history.standing(histories.values()))
    )
    log = ConvertedLog()
    log.extend(catalogue)
    durations = {item.item_id: item.duration_ms for item in catalogue if item.duration_ms}
    start_ts = min((row["time_ms"] for row in rows), default=0)
    for user_id, history in histories.items():
        log.extend(kuairand_history.events(user_id, history, durations, start_ts))
    for number, row in enumerate(rows):
        log.extend(events(number, row))
    return log


def _histories(source: Path, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[Watched]]]:
    """What the users of these rows watched before them; nothing where the source does not say."""
    users = {row["user_id"] for row in rows}
    if (source / _HISTORY).is_file():
        for row in parquet_rows(source, _HISTORY):
            if row["user_id"] in users:
                yield str(row["user_id"]), kuairand_history.history(row)


def events(number: int, row: dict[str, Any]) -> Iterator[Timed]:
    """The impression of a row and everything the user did with it."""
    request, user, item = f"kuairand-{number}", str(row["user_id"]), str(row["video_id"])
    shown, played = row["time_ms"], row["play_time_ms"]
    yield Impression(
        event_id=f"{request}-impression",
        request_id=request,
        user_id=user,
        ts=shown,
        items=[ShownItem(item_id=item, position=0)],
        surface=str(row["tab"]),
    )
    if row["is_click"]:
        yield Click(event_id=f"{request}-click", request_id=request, user_id=user, item_id=item, ts=shown)
    if played > 0:
        yield Dwell(
            event_id=f"{request}-dwell",
            request_id=request,
            user_id=user,
            item_id=item,
            ts=shown + played,
            dwell_ms=played,
            completion=played / row["duration_ms"] if row["duration_ms"] else None,
        )
    for kind in (kind for column, kind in _FEEDBACK.items() if row[column]):
        yield Feedback(
            event_id=f"{request}-{kind}",
            request_id=request,
            user_id=user,
            item_id=item,
            ts=shown + played,
            kind=kind,
        )


def items(
    videos: Iterable[Row],
    durations: Mapping[str, float],
    standing: Mapping[str, Mapping[str, Scalar]] = MappingProxyType({}),
) -> Iterator[Item]:
    """The catalogue. The source has no titles: what it has is said in words, and nothing is added.

    `standing` is what is known of videos from before the log, by id.
    """
    for video in videos:
        item_id = video["video_id"]
        uploaded = int(datetime.fromisoformat(video["upload_dt"]).replace(tzinfo=UTC).timestamp() * 1000)
        tags = [tag for tag in video["tag"].split(",") if tag]
        yield Item(
            item_id=item_id,
            ts=uploaded,
            title=_title(video["video_type"], tags),
            text=f"upload type {video['upload_type']}",
            tags=[f"tag {tag}" for tag in tags],
            attributes={**_attributes(video), **standing.get(item_id, {})},
            duration_ms=float(video["video_duration"] or 0) or durations.get(item_id),
            created_ts=uploaded,
        )


def _title(kind: str, tags: list[str]) -> str:
    what = "Advertisement, short video" if kind == "AD" else "Short video"
    return f"{what}, {'tags' if len(tags) > 1 else 'tag'} {', '.join(tags)}" if tags else what


def _attributes(video: Row) -> dict[str, Scalar]:
    named = {
        "author": video["author_id"],
        # Music 0 is the source's "none": its music type is empty.
        "music": "" if video["music_id"] == "0" else video["music_id"],
        "upload_type": video["upload_type"],
        "video_type": video["video_type"],
    }
    return {name: value for name, value in named.items() if value}


def _durations(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Durations as logged beside the impressions, for videos whose own record has none; 0 is unknown."""
    return {str(row["video_id"]): float(row["duration_ms"]) for row in rows if row["duration_ms"] > 0}
