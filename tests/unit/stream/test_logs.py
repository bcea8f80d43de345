import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import LogDirectoryError
from schemas.events import Click, Dwell, Feedback, Impression, Item, Search, ShownItem, UserEvent
from stream.logs import (
    between,
    boundary,
    count_events,
    merge,
    read_events,
    read_items,
    split_ts,
    write_log,
)


def impression(ts: int, event_id: str = "i") -> Impression:
    return Impression(
        event_id=event_id, request_id="r", user_id="u", ts=ts, items=[ShownItem(item_id="x", position=0)]
    )


def click(ts: int, event_id: str = "c") -> Click:
    return Click(event_id=event_id, request_id="r", user_id="u", item_id="x", ts=ts)


def dwell(ts: int, event_id: str = "d") -> Dwell:
    return Dwell(event_id=event_id, request_id="r", user_id="u", item_id="x", ts=ts, dwell_ms=1.0)


def feedback(ts: int, event_id: str = "f") -> Feedback:
    return Feedback(event_id=event_id, user_id="u", ts=ts, kind="like", item_id="x")


def search(ts: int, event_id: str = "s") -> Search:
    return Search(event_id=event_id, user_id="u", ts=ts, query="jazz")


def event_ids(events: Iterable[UserEvent]) -> list[str]:
    return [event.event_id for event in events]


def test_events_come_in_event_time_order_over_all_files(tmp_path: Path) -> None:
    write_log(tmp_path, "impressions", [impression(1, "i1"), impression(5, "i5")])
    write_log(tmp_path, "clicks", [click(2, "c2"), click(6, "c6")], gz=True)
    write_log(tmp_path, "searches", [search(0, "s0"), search(4, "s4")])
    assert event_ids(read_events(tmp_path)) == ["s0", "i1", "c2", "s4", "i5", "c6"]


def test_ties_go_by_kind_and_then_by_the_order_of_the_file(tmp_path: Path) -> None:
    write_log(tmp_path, "searches", [search(7)])
    write_log(tmp_path, "feedback", [feedback(7)])
    write_log(tmp_path, "dwells", [dwell(7)])
    write_log(tmp_path, "clicks", [click(7, "c1"), click(7, "c0")])
    write_log(tmp_path, "impressions", [impression(7)])
    assert event_ids(read_events(tmp_path)) == ["i", "c1", "c0", "d", "f", "s"]


@given(st.lists(st.lists(st.integers(0, 20)), max_size=5))
def test_a_merge_is_a_stable_sort_of_its_sorted_streams(stamps: list[list[int]]) -> None:
    streams = [[click(ts, f"{n}/{k}") for k, ts in enumerate(sorted(some))] for n, some in enumerate(stamps)]
    joined = [event for stream in streams for event in stream]
    assert list(merge(streams)) == sorted(joined, key=lambda event: event.ts)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    items = [Item(item_id="b", ts=2, title="B"), Item(item_id="a", ts=1, title="A")]
    assert write_log(tmp_path / "new" / "log", "items", items) == 2
    assert list(read_items(tmp_path / "new" / "log")) == items


def test_compressed_logs_depend_on_their_records_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_log(tmp_path / name, "clicks", [click(1)], gz=True)
    one, two = (tmp_path / name / "clicks.jsonl.gz" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_every_file_is_optional(tmp_path: Path) -> None:
    assert list(read_events(tmp_path)) == []
    assert list(read_items(tmp_path)) == []
    assert count_events(tmp_path) == 0


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogDirectoryError, match=r"absent: expected a directory"):
        list(read_events(tmp_path / "absent"))


def test_a_log_with_both_forms_of_a_file_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, "clicks", [click(1)])
    write_log(tmp_path, "clicks", [click(1)], gz=True)
    with pytest.raises(LogDirectoryError, match=r"expected one file of clicks"):
        list(read_events(tmp_path))


@pytest.mark.parametrize("gz", [False, True])
def test_an_unsorted_file_is_named_with_its_line(tmp_path: Path, gz: bool) -> None:
    write_log(tmp_path, "clicks", [click(1), click(3), click(2)], gz=gz)
    with pytest.raises(LogDirectoryError, match=r"clicks\.jsonl(\.gz)?:3: expected ts ≥ 3.* got 2"):
        list(read_events(tmp_path))


@pytest.mark.parametrize("line", [b"not json", b"", b'{"event_id":"e"}', b'{"event_id":1}', b"\xff\xfe"])
def test_a_bad_line_is_named(tmp_path: Path, line: bytes) -> None:
    write_log(tmp_path, "clicks", [click(1)])
    with (tmp_path / "clicks.jsonl").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(LogDirectoryError, match=r"clicks\.jsonl:2: expected a click, got (not_json|invalid)"):
        list(read_events(tmp_path))


def test_a_bad_item_is_named(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text("null\n")
    with pytest.raises(LogDirectoryError, match=r"items\.jsonl:1: expected an item, got invalid"):
        list(read_items(tmp_path))


def test_a_cut_off_archive_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"item_id":"%d","ts":1,"title":"t"}\n' % n for n in range(100)))
    (tmp_path / "items.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LogDirectoryError, match=r"items\.jsonl\.gz:\d+: expected a readable line"):
        list(read_items(tmp_path))


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl.gz").write_bytes(b"plain")
    with pytest.raises(LogDirectoryError, match=r"items\.jsonl\.gz:1: expected a readable line"):
        list(read_items(tmp_path))


def test_a_file_of_another_name_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LogDirectoryError, match="'labels'"):
        write_log(tmp_path, "labels", [])


def test_a_share_splits_the_impressions(tmp_path: Path) -> None:
    write_log(tmp_path, "impressions", [impression(ts) for ts in range(10, 20)])
    write_log(tmp_path, "clicks", [click(ts) for ts in range(100)])
    assert split_ts(tmp_path, 0.3) == 13
    assert split_ts(tmp_path, 0.0) == 10
    assert split_ts(tmp_path, 1.0) == 20


def test_without_impressions_a_share_splits_all_events(tmp_path: Path) -> None:
    write_log(tmp_path, "clicks", [click(1), click(3)])
    write_log(tmp_path, "feedback", [feedback(2), feedback(4)])
    assert split_ts(tmp_path, 0.5) == 3


def test_a_larger_number_is_the_time_itself(tmp_path: Path) -> None:
    assert split_ts(tmp_path, 1_650_844_800_000) == 1_650_844_800_000


@pytest.mark.parametrize("until", [0.5, -0.1, float("nan"), float("inf")])
def test_a_log_that_cannot_be_split_is_refused(tmp_path: Path, until: float) -> None:
    with pytest.raises(LogDirectoryError, match="expected"):
        split_ts(tmp_path, until)


@given(st.lists(st.integers(0, 50), min_size=1), st.floats(0, 1))
def test_a_boundary_leaves_at_most_its_share_before_it(stamps: list[int], share: float) -> None:
    ordered = sorted(stamps)
    before = sum(ts < boundary(ordered, share, "log") for ts in ordered)
    assert before <= share * len(ordered)


def test_bounds_include_the_first_and_exclude_the_last(tmp_path: Path) -> None:
    write_log(tmp_path, "clicks", [click(ts, str(ts)) for ts in (1, 2, 2, 3)])
    write_log(tmp_path, "dwells", [dwell(2, "d")])
    assert event_ids(between(read_events(tmp_path), 2, 3)) == ["2", "2", "d"]
    assert count_events(tmp_path, 2, 3) == 3
    assert count_events(tmp_path) == 5
    assert count_events(tmp_path, from_ts=3) == 1
    assert count_events(tmp_path, from_ts=3, until_ts=1) == 0
