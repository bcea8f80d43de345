"""What KuaiRand's users did before the log warms their sessions up, and teaches nobody a label."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from learner.catalogue import Keys, frequent_keys
from schemas.events import Dwell, Item
from stream.conversion import kuairand
from stream.conversion.kuairand_history import BEFORE_MS, Watched, events, history, standing
from stream.labelled_log import read_labels
from stream.logs import read_events, read_items, write_log
from stream.prequential.observer import Observer

ROW = {"user_id": 7, "watch_seq": [1, 2, 2, 3], "long_watch_seq": [9, 1, 2], "like_seq": [2]}
START = 10 * BEFORE_MS
SHOWN = {
    "user_id": 7,
    "video_id": 3,
    "time_ms": START,
    "play_time_ms": 9_000,
    "duration_ms": 60_000,
    "tab": 1,
    "is_click": 1,
    "is_like": 0,
    "is_follow": 0,
    "is_comment": 0,
    "is_forward": 0,
    "is_hate": 0,
}
VIDEO = {
    "author_id": "4",
    "video_type": "NORMAL",
    "upload_dt": "2022-04-10",
    "upload_type": "Web",
    "video_duration": "",
    "music_id": "0",
    "tag": "",
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """One impression of user 7, whose history is known, and that of a user who is not in the log."""
    source, target = tmp_path / "source", tmp_path / "log"
    source.mkdir()
    parquet.write_table(pa.Table.from_pylist([SHOWN]), source / "interactions.parquet")
    strangers = ROW | {"user_id": 8}
    parquet.write_table(pa.Table.from_pylist([ROW, strangers]), source / "user_sequences.parquet")
    lines = [",".join(["video_id", *VIDEO])] + [",".join([v, *VIDEO.values()]) for v in "123"]
    (source / "videos.csv").write_text("\n".join(lines) + "\n")
    for name, records in kuairand.convert(source).in_order().items():
        write_log(target, name, records)
    return target


def test_a_flag_belongs_to_the_newest_view_that_fits() -> None:
    assert [video.long for video in history(ROW)] == [True, False, True, False]
    assert [video.liked for video in history(ROW)] == [False, False, True, False]


def test_a_stay_is_the_shortest_that_its_flag_allows_and_order_is_kept() -> None:
    told = list(events("7", history(ROW), {"1": 4_000.0, "2": 60_000.0}, START))
    dwells = sorted((event for event in told if isinstance(event, Dwell)), key=lambda dwell: dwell.ts)
    assert [(dwell.item_id, dwell.dwell_ms) for dwell in dwells] == [
        ("1", 4_000),
        ("2", 0),
        ("2", 18_000),
        ("3", 0),
    ]
    assert dwells[-1].ts == START - BEFORE_MS
    assert [(event.kind, event.item_id) for event in told if not isinstance(event, Dwell)] == [("like", "2")]
    assert len({event.event_id for event in told}) == len(told)


def test_a_session_knows_the_history_and_no_label_comes_of_it(log: Path) -> None:
    observer = Observer({"1": 4_000.0}.get)
    for event in read_events(log):
        observer.observe(event)
    session = observer.session("7", START)
    assert [item.item_id for item in session.recent] == ["1", "2", "2", "3"]
    assert session.counters["dwells"] == 4
    assert session.counters["likes"] == 1
    assert "impressions" not in session.counters
    assert observer.session("8", START).recent == []
    assert {label.request_id for label in read_labels(log, [])} == {"kuairand-0"}


def test_a_video_says_how_it_did_before_the_log(log: Path) -> None:
    numbers = {item.item_id: item.attributes for item in read_items(log)}
    assert numbers["2"]["long_views_before"] == 0  # one of two, as all videos together
    assert numbers["1"]["long_views_before"] > 0 > numbers["3"]["long_views_before"]
    assert numbers["2"]["likes_before"] > 0 > numbers["1"]["likes_before"]


def test_without_views_there_are_no_numbers() -> None:
    assert standing([]) == {}
    assert standing([[Watched(item_id="1", long=False, liked=False)]])["1"]["long_views_before"] == 0.0


def test_floats_alone_are_numbers_of_the_catalogue(log: Path) -> None:
    items: list[Item] = list(read_items(log))
    assert frequent_keys(items) == Keys(
        names=("author", "upload_type", "video_type"),
        numbers=("likes_before", "long_views_before", "views_before"),
    )
