"""SHELL: an older version again: as a base, for scorers, and in the learner's place."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from learner import checkpoint
from learner.adapter import low_rank_layers
from learner.archive import Whole, republished
from learner.base import Base, save_base
from learner.catalogue import Embed
from learner.compact import numbers_of
from learner.connections import connect_producer
from learner.consolidation import consolidate
from learner.export import export
from learner.kafka import ModelSink
from learner.knowledge import Knowledge
from learner.online import OnlineLearner
from learner.ranker import TABLES, Ranker
from learner.scorer import Scorer
from learner.scoring_state import extract
from learner.settings import LearnerSettings
from learner.snapshots import newest, write
from learner.trainer_state import unpack
from schemas.checkpoint import Manifest
from schemas.errors import BrokerError, SnapshotError

SEND_S = 60.0

GIVEN = "given"
"""Directory, beside an exported adapter, of the base whose rows have gone to other ids.

It is for the adapter alone. Checkpoints count rows and fold by the base before it, so that scorers refuse
them over this one.
"""


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
    of_base = {index: len(ids) for index, ids in scorer.base.ids.items()}
    own = {index: _gapless(rows, of_base[index]) for index, rows in scorer.numbering.items()}
    touched = {index: set(range(1, len(rows))) for index, rows in own.items()}
    unnamed = {index: touched[index] - _base_still(chain, index, of_base[index]) for index in own}
    return checkpoint.encode(extract(ranker, knowledge, touched, unnamed, True, own).pack(), {})


def _gapless(rows: NDArray[np.int64], of_base: int) -> NDArray[np.int64]:
    """The rows that numbers stand for; those behind the base's, which are all named, without gaps."""
    others = rows[1 + of_base :]
    return np.concatenate([rows[: 1 + of_base], others[others > 0]])


def _base_still(chain: Sequence[Whole], index: str, of_base: int) -> set[int]:
    """Numbers that stand for what they are in the base: no checkpoint since the last full one names them."""
    last = max(n for n, whole in enumerate(chain) if whole.manifest.parent is None)
    tensors = (checkpoint.decode(whole.payload)[0] for whole in chain[last:])
    named = {number for one in tensors for number in numbers_of(one[f"named.{index}"]).tolist()}
    return set(range(1, 1 + of_base)) - named


def folded(base: Base, chain: Sequence[Whole]) -> Base:
    """The base that the state of a chain of checkpoints amounts to."""
    return consolidate(served_by(base, chain).base, checkpoint.decode(whole_payload(base, chain))[0])


def export_version(base: Base, chain: Sequence[Whole], directory: Path) -> list[Path]:
    """Write the last of a chain as plain LoRA, and with it what it is over, where that is not `base`.

    A base that the learner has consolidated is in no other directory; scorers can start from it, too. Where
    rows of a base have gone to other ids, the adapter is over one in `GIVEN` in which they are nothing.
    """
    own = served_by(base, chain).base
    # Numbered by this base alone: rows of the adapter are those of the base that is written.
    ranker, knowledge = served_by(own, [whole for whole in chain if whole.manifest.base == own.hash]).model
    over = _with_rows_given(own, ranker, knowledge)
    written = export(ranker, knowledge, over.hash, directory)
    written += [] if own is base else [save_base(own, directory)]
    return written if over is own else [*written, save_base(over, directory / GIVEN)]


def _with_rows_given(base: Base, ranker: Ranker, knowledge: Knowledge) -> Base:
    """The base as a ranker over it has it: rows that went to other ids are theirs, and nothing yet."""
    layers, ids = low_rank_layers(ranker), knowledge.vocabulary.snapshot()
    frozen = {}
    for table in (f"{table}.weight" for table in TABLES):
        weight = layers[table.removesuffix(".weight")].base.weight
        frozen[table] = weight[: len(base.weights[table])].cpu().clone()
    if all(torch.equal(rows, base.weights[table]) for table, rows in frozen.items()):
        return base
    counts = knowledge.counters.snapshot()
    own = {index: ids[index][: len(known)] for index, known in base.ids.items()}
    counted = {index: counts[index][: len(known)] for index, known in base.counts.items()}
    return replace(base, ids=own, weights={**base.weights, **frozen}, counts=counted)


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


def rewind(settings: LearnerSettings, base: Base, chain: Sequence[Whole]) -> str:
    """Follow the trainer's newest snapshot by one with a version's weights; returns where.

    Ledger, offsets and replay memory stay: labels learned since that version are not learned again.

    Raises:
        SnapshotError: there is none over this base, or its base is not the version's.
    """
    directory = settings.snapshot_dir(base.hash)
    found = newest(directory)
    if found is None:
        raise SnapshotError(
            f"{directory}: expected the learner's snapshots, found none; FRESHRANK_BASE and the state "
            "directory have to be its own"
        )
    raw, snapshot = found
    online = OnlineLearner(base, _no_text(base), settings, settings.seed)
    online.restore(raw)
    expected = chain[-1].manifest.base
    if online.base_hash != expected:
        raise SnapshotError(f"snapshot {snapshot.uri}: expected base {expected}, got {online.base_hash}")
    online.roll_back(checkpoint.decode(whole_payload(base, chain))[0])
    return write(directory, online.snapshot().parts(), snapshot.offsets).uri


def begin(settings: LearnerSettings, base: Base, own: Base, version: Manifest) -> str | None:
    """Let a learner over `own`, into which a version over `base` was folded, begin behind that version.

    Its first snapshot is at the version's offsets: without it the learner would learn again all that is in
    the base. What the learner over `base` knows of slates goes on, if its newest snapshot is no later: of a
    slate that was open then, the rest is told as such. Returns where; None if there are snapshots over `own`.
    """
    directory = settings.snapshot_dir(own.hash)
    if newest(directory) is not None:
        return None
    state = OnlineLearner(own, _no_text(own), settings, settings.seed).snapshot()
    words = msgspec.structs.replace(state.words, examples_seen=version.examples_seen)
    found = newest(settings.snapshot_dir(base.hash))
    if found is not None and _is_no_later(found[1].offsets, version.offsets):
        before = unpack(found[0])
        words = msgspec.structs.replace(words, shares=before.words.shares)
        state = replace(state, ledger=before.ledger)
    return write(directory, replace(state, words=words).parts(), version.offsets).uri


def _is_no_later(offsets: Mapping[str, int], than: Mapping[str, int]) -> bool:
    return all(offset <= than.get(partition, 0) for partition, offset in offsets.items())


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
