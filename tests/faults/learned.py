"""What a learner has learned, by its newest snapshot: every label that was sent, and each once."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learner import snapshots
from learner.base import load_base
from learner.ledger import Ledger
from learner.online import OnlineLearner
from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas.labels import LabeledSlate
from schemas.topics import LABELS
from tests.faults.conftest import Site
from tests.faults.expected import labels_in_turn, read_topic
from tests.processes import Process


def snapshot_dir(site: Site, base: Path) -> str:
    """Where the learner of a site keeps its snapshots."""
    return LearnerSettings(state_dir=site.settings.state_dir).snapshot_dir(load_base(base).hash)


def assert_learned_once(site: Site, learner: Process, base: Path) -> None:
    """End the learner, which has had the time to learn all, and look into its weights' account."""
    sent = [label for _, label in labels_in_turn(site.settings)]
    messages = len(read_topic(site.settings, LABELS.name))
    directory = snapshot_dir(site, base)
    learner.until(lambda: _reached(directory) == messages, 60.0, f"a snapshot of all {len(sent)} labels")
    assert learner.stop() == 0, learner.tail()
    online = _restored(directory, base)
    learned = Counter(online.learned_ids())
    assert learned.keys() == {label.label_id for label in sent}
    assert set(learned.values()) == {1}
    assert online.examples_seen == examples_in(sent)


def examples_in(labels: Sequence[LabeledSlate]) -> int:
    """How many outcomes there are to learn from, by the learner's own rule, where each label counts once."""
    ledger = Ledger(UpdateSettings.ledger)
    return sum(len(ledger.admit(label)) for label in labels)


def _reached(directory: str) -> int:
    found = snapshots.newest(directory)
    return sum(found[1].offsets.values()) if found else 0


def _restored(directory: str, base: Path) -> OnlineLearner:
    found = snapshots.newest(directory)
    assert found is not None
    online = OnlineLearner(load_base(base), _no_text, UpdateSettings(), 0)
    online.restore(found[0])
    return online


def _no_text(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.zeros((len(texts), 384), np.float32)
