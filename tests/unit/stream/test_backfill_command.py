from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from schemas.errors import BaseError
from schemas.events import Dwell, Impression, ShownItem
from schemas.labels import LabeledSlate
from stream import backfill
from stream.cli import main
from stream.logs import write_log


def test_a_base_is_trained_on_the_labels_that_the_workers_settings_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[LabeledSlate] = []

    def train_base(_items, labels, *_, **__):
        told.extend(labels)
        raise BaseError("seen enough")

    monkeypatch.setattr(
        backfill,
        "lay_foundation",
        lambda *_: SimpleNamespace(
            embed=SimpleNamespace(close=lambda: None), text_encoder="", shape=None, backbone=None
        ),
    )
    monkeypatch.setattr(backfill, "train_base", train_base)
    item = [ShownItem(item_id="a", position=0)]
    shown = [
        Impression(event_id=f"{ts}", request_id=f"r{ts}", user_id=f"u{ts}", ts=ts, items=item)
        for ts in (1_000, 60_000)
    ]
    stay = Dwell(event_id="d", request_id="r1000", user_id="u1000", item_id="a", ts=2_000, dwell_ms=900)
    write_log(tmp_path / "log", "impressions", shown)
    write_log(tmp_path / "log", "dwells", [stay])
    settings = {"FRESHRANK_WINDOW_S": "5", "FRESHRANK_AUTOPLAY": "tv", "FRESHRANK_STATE_DIR": str(tmp_path)}
    ran = CliRunner(env=settings).invoke(main, ["backfill", str(tmp_path / "log")])
    assert "seen enough" in ran.output, ran.output
    (label,) = told
    assert (label.observed_ts, label.outcomes[0].satisfaction) == (6_000, None)
