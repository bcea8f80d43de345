"""Rounds without the layout that was asked for are slowed down; no other round is."""

import time
from types import SimpleNamespace

import pytest

from learner.reconnecting import slow_down

PAUSE_S = 0.05


@pytest.mark.parametrize(
    ("before", "after", "waits"),
    [(True, True, True), (False, True, False), (True, False, False), (False, False, False)],
)
def test_a_round_waits_when_the_layout_is_still_missing_at_its_end(before, after, waits):
    metadata = SimpleNamespace(need_update=before)
    rounds = []

    def run_once():
        rounds.append(1)
        metadata.need_update = after

    sender = SimpleNamespace(_metadata=metadata, run_once=run_once)
    slow_down(sender, PAUSE_S)
    began = time.monotonic()
    sender.run_once()
    assert rounds == [1]
    assert (time.monotonic() - began >= PAUSE_S) is waits
