"""Converted logs say what their sources say, no more and no less."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.events import Click, Dwell, Feedback, Impression
from stream.commands.convert import convert
from stream.conversion import kuairand, movielens, obd
from stream.conversion.source import csv_rows, parquet_rows
from stream.logs import read_events, read_items
from stream.sample import sample_path

ROW = {
    "user_id": 7,
    "video_id": 9,
    "time_ms": 1_000,
    "is_click": 1,
    "is_like": 1,
    "is_follow": 0,
    "is_comment": 0,
    "is_forward": 1,
    "is_hate": 1,
    "play_time_ms": 500,
    "duration_ms": 250,
    "tab": 2,
}
VIDEO = {
    "video_id": "9",
    "author_id": "4",
    "video_type": "NORMAL",
    "upload_dt": "2022-04-10",
    "upload_type": "Web",
    "video_duration": "",
    "music_id": "0",
    "tag": "20,43",
}


class TestKuaiRand:
    def test_a_row_is_an_impression_and_what_followed(self) -> None:
        shown, clicked, dwelt, *said = kuairand.events(3, ROW)
        assert isinstance(shown, Impression)
        assert (shown.user_id, shown.surface, shown.ts) == ("7", "2", 1_000)
        assert isinstance(clicked, Click)
        assert clicked.ts == shown.ts
        assert isinstance(dwelt, Dwell)
        assert (dwelt.ts, dwelt.dwell_ms, dwelt.completion) == (1_500, 500, 2.0)
        assert {(event.kind, event.ts) for event in said if isinstance(event, Feedback)} == {
            ("like", 1_500),
            ("share", 1_500),
            ("dislike", 1_500),
        }
        assert {event.request_id for event in (clicked, dwelt, *said)} == {shown.request_id}

    def test_an_unplayed_row_is_an_impression_alone(self) -> None:
        quiet = ROW | {"is_click": 0, "is_like": 0, "is_forward": 0, "is_hate": 0, "play_time_ms": 0}
        assert len(list(kuairand.events(0, quiet))) == 1

    def test_a_video_says_what_the_source_has(self) -> None:
        (item,) = kuairand.items([VIDEO], {"9": 250.0})
        assert item.title == "Short video, tags 20, 43"
        assert item.tags == ["tag 20", "tag 43"]
        assert item.attributes == {"author": "4", "upload_type": "Web", "video_type": "NORMAL"}
        assert item.duration_ms == 250.0
        assert item.created_ts == 1_649_548_800_000

    def test_nothing_is_invented_for_a_video_without_tag_or_duration(self) -> None:
        (item,) = kuairand.items([VIDEO | {"tag": ""}], {})
        assert (item.title, item.tags, item.duration_ms) == ("Short video", [], None)

    def test_the_shipped_sample_converts_whole(self, tmp_path: Path) -> None:
        source = list(parquet_rows(sample_path(), "interactions.parquet"))
        files = kuairand.convert(sample_path()).in_order()
        assert (
            len(files["impressions"])
            == len({event.request_id for event in files["impressions"]})
            == len(source)
        )
        assert len(files["clicks"]) == sum(row["is_click"] for row in source)
        assert len(files["dwells"]) == sum(row["play_time_ms"] > 0 for row in source)
        kinds = Counter(event.kind for event in files["feedback"])
        assert kinds["like"] == sum(row["is_like"] for row in source)
        assert kinds["dislike"] == sum(row["is_hate"] for row in source)
        assert len(files["items"]) == 7_583
        assert all(rows == sorted(rows, key=lambda row: row.ts) for rows in files.values())


def test_the_sample_is_small_and_comes_with_its_licence() -> None:
    files = {path.name: path.stat().st_size for path in sample_path().iterdir()}
    assert set(files) == {"interactions.parquet", "videos.csv", "LICENSE", "ATTRIBUTION.md"}
    assert sum(files.values()) <= 3_000_000
    assert "Attribution-ShareAlike 4.0" in (sample_path() / "LICENSE").read_text()


@pytest.mark.data
def test_the_sample_is_a_cut_of_the_source(shared_data: Path) -> None:
    original = list(csv_rows(shared_data / "kuairand", "videos.csv"))
    cut = list(csv_rows(sample_path(), "videos.csv"))
    assert cut == [{name: row[name] for name in cut[0]} for row in original]


class TestMovieLens:
    def write(self, directory: Path, ratings: list[str], movies: list[str]) -> Path:
        (directory / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *ratings]))
        (directory / "movies.csv").write_text("\n".join(["movieId,title,genres", *movies]))
        return directory

    def test_seconds_become_milliseconds_and_ties_are_mixed(self, tmp_path: Path) -> None:
        source = self.write(tmp_path, ["1,1,4.0,10", "1,2,2.5,10", "1,3,5.0,9"], ["1,A (1995),Drama"])
        ratings = movielens.convert(source).in_order()["feedback"]
        assert [event.item_id for event in ratings] == [
            "3",
            "2",
            "1",
        ]  # 2·2654435761 wraps below 1·2654435761
        assert [event.ts for event in ratings] == [9_000, 10_000, 10_000]
        assert ratings[1].value == 2.5

    def test_titles_years_and_genres(self) -> None:
        rows = [
            {"movieId": "1", "title": "Heat (1995)", "genres": "Action|Crime"},
            {"movieId": "2", "title": "Metropolis (1927) ", "genres": "(no genres listed)"},
            {"movieId": "3", "title": "Babylon 5", "genres": "Sci-Fi"},
        ]
        heat, metropolis, babylon = movielens.items(rows, 5)
        assert (heat.title, heat.attributes, heat.tags) == ("Heat", {"year": 1995}, ["Action", "Crime"])
        assert (metropolis.title, metropolis.tags, metropolis.created_ts) == ("Metropolis", [], None)
        assert (babylon.title, babylon.attributes) == ("Babylon 5", {})

    @pytest.mark.data
    def test_every_rating_is_there(self, shared_data: Path) -> None:
        files = movielens.convert(shared_data / "movielens").in_order()
        assert len(files["feedback"]) == len({event.event_id for event in files["feedback"]}) == 59_833
        assert len(files["items"]) == 9_742


class TestOpenBandit:
    ROW = {
        "timestamp": "2019-11-24 00:00:17.004101+00:00",
        "item_id": "79",
        "position": "2",
        "click": "1",
        "propensity_score": "0.087125",
    } | {f"user_feature_{n}": f"hash{n}" for n in range(4)}

    def test_position_and_propensity_are_the_logged_ones(self) -> None:
        shown, clicked = obd.events("bts", 0, self.ROW)
        assert isinstance(shown, Impression)
        assert (shown.items[0].position, shown.items[0].propensity, shown.policy) == (1, 0.087125, "bts")
        assert shown.ts == clicked.ts == 1_574_553_617_004

    def test_the_pseudonym_stands_for_the_features(self) -> None:
        same, other = self.ROW | {"item_id": "1"}, self.ROW | {"user_feature_3": "x"}
        assert obd.pseudonym(self.ROW) == obd.pseudonym(same) != obd.pseudonym(other)

    @pytest.mark.data
    def test_both_policies_are_there(self, shared_data: Path) -> None:
        files = obd.convert(shared_data / "obd").in_order()
        assert Counter(event.policy for event in files["impressions"]) == {"random": 10_000, "bts": 10_000}
        assert len(files["clicks"]) == 80


class TestCommand:
    def test_writes_a_log_that_can_be_read(self, tmp_path: Path) -> None:
        source = TestMovieLens().write(tmp_path, ["1,1,4.0,10"], ["1,Heat (1995),Crime"])
        result = CliRunner().invoke(convert, ["movielens", str(source), str(tmp_path / "log")])
        assert result.exit_code == 0, result.output
        (rating,) = read_events(tmp_path / "log")
        assert isinstance(rating, Feedback)
        assert [item.title for item in read_items(tmp_path / "log")] == ["Heat"]

    def test_says_which_file_is_missing(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(convert, ["kuairand", str(tmp_path), str(tmp_path / "log")])
        assert result.exit_code == 1
        assert "expected the file interactions.parquet" in result.output

    @pytest.mark.parametrize("another", ["clicks.jsonl.gz", "feedback.jsonl"])
    def test_does_not_mix_two_logs(self, tmp_path: Path, another: str) -> None:
        source = TestMovieLens().write(tmp_path, ["1,1,4.0,10"], ["1,Heat (1995),Crime"])
        log = tmp_path / "log"
        log.mkdir()
        (log / another).write_bytes(b"")
        result = CliRunner().invoke(convert, ["movielens", str(source), str(log)])
        assert result.exit_code == 1
        assert f"found {another}" in " ".join(result.output.split())
        assert [path.name for path in log.iterdir()] == [another]
        (log / another).unlink()
        for _ in range(2):
            assert CliRunner().invoke(convert, ["movielens", str(source), str(log)]).exit_code == 0

    def test_is_deterministic(self, tmp_path: Path) -> None:
        source = TestMovieLens().write(tmp_path, ["1,1,4.0,10", "2,1,3.0,10"], ["1,Heat (1995),Crime"])
        for name in ("one", "two"):
            CliRunner().invoke(convert, ["movielens", str(source), str(tmp_path / name), "--gzip"])
        one, two = ((tmp_path / name / "feedback.jsonl.gz").read_bytes() for name in ("one", "two"))
        assert one == two
