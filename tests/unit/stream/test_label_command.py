"""`freshrank label`: a log directory in, labels and a report of them out."""

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from schemas.codec import decode
from schemas.events import Click, Impression
from schemas.labels import LabeledSlate
from schemas.topics import USER_EVENTS
from stream.cli import main
from stream.folding import PartitionFold
from stream.join_settings import REFINEMENTS, JoinSettings
from stream.label_report import kind_of
from stream.logs import write_log
from stream.offline import BATCH, label
from tests.synthetic import Habits, log, topic_of, world

WORLD = world(n_users=20, n_items=24)
EVENTS = log(WORLD, 600, 4, habits=Habits(click_delay=30_000, between_slates=15_000))


@pytest.fixture
def directory(tmp_path):
    for topic in USER_EVENTS:
        write_log(tmp_path, topic.name, (event for event in EVENTS if topic_of(event) == topic.name))
    write_log(tmp_path, "items", WORLD.items)
    return tmp_path


def run(directory, *more):
    out, report = directory / "labels.jsonl", directory / "report.json"
    command = ["label", "--log", str(directory), "--out", str(out), "--report", str(report), *more]
    ran = CliRunner().invoke(main, command, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    labels = [decode(LabeledSlate, line) for line in out.read_bytes().splitlines()]
    return labels, json.loads(report.read_text())


def test_every_exposure_has_one_final_label_and_every_click_is_told(directory):
    labels, report = run(directory, "--refine", ",".join(REFINEMENTS), "--plot", str(directory / "pictures"))
    shown = [(e.request_id, one.item_id) for e in EVENTS if isinstance(e, Impression) for one in e.items]
    finals = Counter((x.request_id, o.item_id) for x in labels if kind_of(x) == "final" for o in x.outcomes)
    assert finals == Counter(shown)
    clicks = sum(isinstance(event, Click) for event in EVENTS)
    assert report["source"] == {"impressions": 600, "exposures": 2_400, "clicks": clicks}
    assert (
        report["clicked"]["click"]
        == report["clicked"]["at_last"]
        == clicks - report["counts"].get("orphans", 0)
    )
    assert 0 < report["quick_negative_share"] < 1
    assert report["delay_s"]["click"]["p50"] == pytest.approx(30 * 0.69, rel=0.3)
    assert sum(report["trust"]) == 2_400
    assert sorted(path.name for path in (directory / "pictures").iterdir()) == [
        "delays.png",
        "satisfaction.png",
        "trust.png",
    ]


def test_the_labels_do_not_depend_on_the_batches():
    def labels(every):
        fold = PartitionFold(JoinSettings(), {}, {item.item_id: item.duration_ms for item in WORLD.items}.get)
        return sorted(label(EVENTS, fold, every), key=lambda one: one.label_id)

    assert labels(1) == labels(BATCH) == labels(7)


def test_an_unknown_refinement_is_refused(directory):
    ran = CliRunner().invoke(main, ["label", "--log", str(directory), "--out", "x", "--refine", "magic"])
    assert ran.exit_code == 1
    assert "expected some of" in ran.output
