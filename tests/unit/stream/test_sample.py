"""The shipped sample of real data, by `freshrank label`: every exposure gets its one final label."""

import json
from collections import Counter

from click.testing import CliRunner

from schemas.codec import decode
from schemas.events import Click, Impression
from schemas.labels import LabeledSlate
from stream.cli import main
from stream.demo.sample_log import write_sample
from stream.label_report import kind_of
from stream.logs import read_events

USERS = 0.2
"""Share of the sample's users."""


def test_the_sample_has_one_final_label_an_impression_and_the_clicks_of_its_source(tmp_path):
    write_sample(tmp_path, USERS)
    events = list(read_events(tmp_path))
    shown = {(e.request_id, one.item_id) for e in events if isinstance(e, Impression) for one in e.items}
    clicked = {(e.request_id, e.item_id) for e in events if isinstance(e, Click)}
    assert len(shown) > 10_000
    assert clicked <= shown

    out, report = tmp_path / "labels.jsonl", tmp_path / "report.json"
    command = ["label", "--log", str(tmp_path), "--out", str(out), "--report", str(report)]
    assert CliRunner().invoke(main, command, catch_exceptions=False).exit_code == 0

    labels = [decode(LabeledSlate, line) for line in out.read_bytes().splitlines()]
    told = [(one, outcome) for one in labels for outcome in one.outcomes]
    finals = Counter((one.request_id, o.item_id) for one, o in told if kind_of(one) == "final")
    assert finals == dict.fromkeys(shown, 1)
    # The last word on every exposure: its final label, or what corrects it.
    last = {(one.request_id, o.item_id): o for one, o in told if o.final}
    assert {exposure for exposure, outcome in last.items() if outcome.clicked} == clicked
    assert json.loads(report.read_text())["clicked"]["at_last"] == len(clicked)
