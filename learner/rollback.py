"""SHELL: an older version again: as a base, for scorers, and in the learner's place."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learner import checkpoint
from learner.archive import Whole, republished
from learner.base import Base, save_base
from learner.catalogue import Embed
from learner.connections import connect_producer
from learner.consolidation import consolidate
from learner.export import export
from learner.kafka import ModelSink
from learner.online import OnlineLearner
from learner.rows import Vocabulary
from learner.scorer import Scorer
from learner.scoring_state import extract
from learner.settings import LearnerSettings
from learner.snapshots import newest, write
from schemas.errors import BrokerError, SnapshotError

SEND_S = 60.0


def served_by(base: Base, chain: Sequence[Whole]) -> Scorer:
    """A scorer that serves the last of a chain of checkpoints."""
    scorer = Scorer(base, _no_text(base))
    for whole in chain:
        scorer.apply(whole.manifest, whole.payload)
    return scorer


def whole_payload(base: Base, chain: Sequence[Whole]) -> bytes:
    """The payload of a full checkpoint, with every row, of the state that a chain leads to."""
    scorer = served_by(base, chain)
    ranker, knowledge = scorer.model
    rows = {name: set(range(1, len(knowledge.vocabulary.index(name)))) for name in Vocabulary.NAMES}
    known = {name: len(scorer.base.ids.get(name, ())) for name in Vocabulary.NAMES}
    names = {name: {number for number in numbers if number > known[name]} for name, numbers in rows.items()}
    return checkpoint.encode(extract(ranker, knowledge, rows, names, full=True).pack(), {})


def folded(base: Base, chain: Sequence[Whole]) -> Base:
    """The base that the state of a chain of checkpoints amounts to."""
    return consolidate(served_by(base, chain).base, checkpoint.decode(whole_payload(base, chain))[0])


def export_version(base: Base, chain: Sequence[Whole], directory: Path) -> list[Path]:
    """Write the last of a chain as plain LoRA, and the base that it is over where that is not `base`.

    A base that the learner has consolidated is in no other directory; scorers can start from it, too.
    """
    own = served_by(base, chain).base
    # Numbered by this base alone: rows of the adapter are those of the base that is written.
    ranker, knowledge = served_by(own, [whole for whole in chain if whole.manifest.base == own.hash]).model
    written = export(ranker, knowledge, own.hash, directory)
    return written if own is base else [*written, save_base(own, directory)]


def publish_again(settings: LearnerSettings, base: Base, chain: Sequence[Whole]) -> str:
    """Publish the last of a chain as a full checkpoint; returns its new version.

    Raises:
        BrokerError: it could not be sent.
    """
    payload = whole_payload(base, chain)
    manifest = republished(chain[-1], payload, _now_ms())
    producer = connect_producer(settings)
    try:
        sink = ModelSink(producer, settings.prefix, _now_ms)
        sink.publish(lambda: (manifest, payload))
        if not sink.wait(SEND_S):
            raise BrokerError(f"models topic: expected an acknowledgement within {SEND_S} s, got none")
    finally:
        producer.close(timeout=1.0)
    return manifest.version


def rewind(settings: LearnerSettings, base: Base, chain: Sequence[Whole]) -> str | None:
    """Follow the trainer's newest snapshot by one with a version's weights; returns where, None without one.

    Ledger, offsets and replay memory stay: labels learned since that version are not learned again.

    Raises:
        SnapshotError: the learner has consolidated its base since that version.
    """
    directory = settings.snapshot_dir(base.hash)
    found = newest(directory)
    if found is None:
        return None
    raw, snapshot = found
    online = OnlineLearner(base, _no_text(base), settings, settings.seed)
    online.restore(raw)
    expected = chain[-1].manifest.base
    if online.base_hash != expected:
        raise SnapshotError(f"snapshot {snapshot.uri}: expected base {expected}, got {online.base_hash}")
    online.roll_back(checkpoint.decode(whole_payload(base, chain))[0])
    return write(directory, online.snapshot().parts(), snapshot.offsets).uri


def _no_text(base: Base) -> Embed:
    """Stands in for a text encoder where no text is asked for."""
    return _NoText(base.settings.text_width)


class _NoText:
    def __init__(self, width: int) -> None:
        self._width = width

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.zeros((len(texts), self._width), np.float32)

    def states(self, texts: Sequence[str], blocks: int) -> list[NDArray[np.float32]]:  # noqa: ARG002
        return [np.zeros(0, np.float32)] * len(texts)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
