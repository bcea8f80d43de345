"""SHELL: labels in, checkpoints and snapshots out, forever.

Each step polls, learns, and then settles: it publishes what was learned, and only a state whose checkpoint
was accepted is ever snapshotted. A snapshot carries the offsets it reflects, and a start goes on from them,
so that a crash between any two lines here counts every label once in the resulting weights.
"""

import logging
import math
import threading
from collections.abc import Sequence
from typing import Final

import msgspec

from learner import checkpoint
from learner.draft import Draft, Learned
from learner.freshness import TraceSample
from learner.journal import Batch, Journal
from learner.ports import Clock, Online, Ports, Prepare, Received, State
from learner.settings import LearnerSettings
from schemas.checkpoint import Manifest
from schemas.errors import SnapshotError
from schemas.evaluation import Evaluation

logger = logging.getLogger(__name__)

REJECTED: Final = "checkpoint_rejected"
"""Name of the evaluation record of a checkpoint that was not published; its value counts the labels lost."""

EXPLODED: Final = 10.0
EXPLODED_NATS: Final = 50.0
"""A loss has exploded that is over so many times the usual, by so many nats over all its examples."""

STOP_S: Final = 2.0
"""Longest wait for each of the last checkpoint and snapshot, before and after: 8 s in all."""

PUBLISHED_S: Final = 60.0
"""Longest wait for a checkpoint where they are published by count: in a longer outage it comes late."""

JOURNAL_LABELS: Final = 10_000
"""Most labels to learn again after one that ruined the weights: 150 MB with sessions of 50 items."""

WRITTEN_S: Final = 60.0
"""Longest wait for the snapshot of a new base, and for the one before."""


def run(settings: LearnerSettings, online: Online, ports: Ports, clock: Clock, stop: threading.Event) -> None:
    """Restore, learn until `stop` is set, then publish and snapshot what is left.

    Raises:
        BrokerError, SnapshotError: a checkpoint or snapshot could not be sent or written.
    """
    loop = Loop(settings, online, ports, clock)
    loop.restore()
    while not stop.is_set():
        loop.step()
    loop.finish()


class Loop:
    """The learner's process, one step at a time."""

    def __init__(self, settings: LearnerSettings, online: Online, ports: Ports, clock: Clock) -> None:
        self._settings = settings
        self._online = online
        self._ports = ports
        self._clock = clock
        self._traces = TraceSample(settings.seed)
        self._unpublished = 0  # examples learned since the last checkpoint
        self._at_risk = 0  # labels learned since then
        self._unsaved = 0  # labels polled since the last snapshot
        self._published_ms = self._saved_ms = clock()
        self._published: Draft | None = None
        self._held: State  # one that was accepted; the journal leads from it to the last checkpoint
        self._journal = Journal()

    def restore(self) -> None:
        """Restore the newest snapshot, go to its offsets, and read the catalogue."""
        found = self._ports.snapshots.newest()
        if found is None:
            logger.info("no snapshot: learning the labels from the beginning")
            self._ports.labels.seek({})
        else:
            payload, snapshot = found
            self._online.restore(payload)
            self._ports.labels.seek(
                {int(partition): offset for partition, offset in snapshot.offsets.items()}
            )
            logger.info("restored snapshot %s at offsets %s", snapshot.uri, snapshot.offsets)
        self._hold()
        self._read_catalogue()

    def step(self) -> None:
        """Take what has come, learn it, and publish and snapshot if it is time."""
        self._take_items()
        received = self._ports.labels.poll(self._settings.batch_max, self._settings.poll_ms)
        if received:
            self._learn(received)
        self._settle()

    def finish(self) -> None:
        """Publish and snapshot what is left, within a bounded time."""
        models, snapshots = self._ports.models, self._ports.snapshots
        if models.wait(STOP_S) and self._unpublished:
            self._publish()
            models.wait(STOP_S)
        if snapshots.wait(STOP_S) and self._may_save():
            self._save()
            snapshots.wait(STOP_S)
        logger.info("stopped at offsets %s", self._ports.labels.offsets())

    def _read_catalogue(self) -> None:
        if not self._ports.items.wait(self._settings.catalogue_s):
            logger.warning("items not read within %s s: learning on without", self._settings.catalogue_s)
        taken = 0
        while count := self._take_items():
            taken += count
        logger.info("catalogue: %d records read", taken)

    def _take_items(self) -> int:
        changes = self._ports.items.drain()
        # The last word on each item counts; the order of different items does not.
        newest = {change.item_id: change.item for change in changes}
        left_out = self._online.put_items([item for item in newest.values() if item is not None])
        if left_out:
            logger.warning("catalogue: no row for %d items: a base trained on it again has room", left_out)
        for item_id in (item_id for item_id, item in newest.items() if item is None):
            self._online.remove_item(item_id)
        return len(changes)

    def _learn(self, received: Sequence[Received]) -> None:
        slates = [one.slate for one in received]
        learned = self._online.learn(slates)
        self._journal.note(slates)
        self._unsaved += len(received)
        self._at_risk += len(learned.label_ids)
        self._unpublished += learned.examples
        if learned.examples and not math.isfinite(learned.loss):
            self._reject(f"loss {learned.loss}")
            return
        self._note_clicks(received, learned)

    def _note_clicks(self, received: Sequence[Received], learned: Learned) -> None:
        now, new = self._clock(), set(learned.label_ids)
        for one in received:
            if one.trace.event is not None and one.slate.label_id in new and _has_click(one):
                self._traces.add(msgspec.structs.replace(one.trace, learned=now))

    def _settle(self) -> None:
        now = self._clock()
        if self._unpublished and self._must_publish(now):
            self._publish()
        due = _passed(self._saved_ms, self._settings.snapshot_s * 1000, now)
        if due and self._may_save() and self._ports.snapshots.ready:
            self._save()

    def _may_save(self) -> bool:
        """What is not published has not been checked, and must not become what a restart begins with.

        Nor must a base whose adapter is to be folded into it: the restarted learner would fold another.
        """
        return self._unsaved > 0 and not self._unpublished and not self._online.is_folding

    def _must_publish(self, now: int) -> bool:
        """Whether it is time; by examples, the one before is waited for: none is left out."""
        models, every = self._ports.models, self._settings.publish_examples
        if not every:
            return models.ready and _passed(self._published_ms, self._settings.publish_ms, now)
        return self._unpublished >= every and models.wait(PUBLISHED_S)

    def _publish(self) -> None:
        draft = self._online.checkpoint()
        fault = fault_in(draft)
        if fault is not None:
            self._reject(fault)
            return
        if self._published is not None and draft.base != self._published.base:
            self._save_whole()
        self._ports.models.publish(self._prepare(draft))
        self._ports.labels.commit()
        self._published, self._published_ms = draft, self._clock()
        self._at_risk = self._unpublished = 0
        self._journal.publish()
        if len(self._journal) >= JOURNAL_LABELS:
            self._hold()

    def _prepare(self, draft: Draft) -> Prepare:
        """What is of this moment is taken now; hashing and encoding are left to who publishes."""
        now, offsets = self._clock(), _named(self._ports.labels.offsets())
        snapshot, learned = self._ports.snapshots.written, self._traces.take()

        def prepare() -> tuple[Manifest, bytes]:
            manifest = Manifest(
                model=self._settings.model,
                version=draft.version,
                parent=draft.parent,
                base=draft.base,
                folded=draft.folded,
                created_ts=now,
                offsets=offsets,
                examples_seen=draft.examples_seen,
                ranks=draft.ranks,
                metrics=draft.metrics,
                bytes=len(draft.payload),
                sha256=draft.sha256,
                chunks=checkpoint.count_chunks(len(draft.payload)),
                snapshot=snapshot,
                learned=learned,
            )
            return manifest, draft.payload

        return prepare

    def _save(self) -> None:
        self._hold()
        self._ports.snapshots.write(self._held, _named(self._ports.labels.offsets()))
        self._saved_ms, self._unsaved = self._clock(), 0

    def _save_whole(self) -> None:
        """Snapshot, and go on once it is written.

        Scorers that have folded a base go on from it: no crash may take the learner back before it.
        """
        snapshots = self._ports.snapshots
        if snapshots.wait(WRITTEN_S):
            self._save()
            if snapshots.wait(WRITTEN_S):
                return
        raise SnapshotError(f"snapshot of a new base: expected it whole within {WRITTEN_S} s, got none")

    def _hold(self) -> None:
        self._held = self._online.snapshot()
        self._journal.clear()

    def _reject(self, fault: str) -> None:
        """Go back to the last checkpoint that was accepted, and on from the present offsets.

        The labels since then are not in the weights and will not be: one of them did this, and reading
        them again would do it again.
        """
        lost = self._at_risk + self._go_back()
        logger.error("checkpoint rejected: %s; back to its parent, %d labels lost", fault, lost)
        now = self._clock()
        self._ports.evaluations.record(
            Evaluation(
                name=REJECTED,
                value=float(lost),
                count=lost,
                model_version=self._published.version if self._published else None,
                window_start=min(self._published_ms, now),
                window_end=now,
                slice={"model": self._settings.model, "reason": fault},
            )
        )
        self._traces.take()
        self._at_risk = self._unpublished = 0

    def _go_back(self) -> int:
        """Restore what is held, and learn again what was published since; returns the labels lost of these.

        None are, unless what comes of it cannot be published this time: then what was held has to do.
        """
        self._online.restore(self._held.payload)
        self._journal.drop()
        published = len(self._journal)
        if not published:
            return 0
        sound = all(self._learn_again(batches) for batches in self._journal.published())
        if sound:
            self._hold()
        self._journal.clear()
        # The drafts of this were sent to nobody: from what is restored the next one is full.
        self._online.restore(self._held.payload)
        return 0 if sound else published

    def _learn_again(self, batches: Sequence[Batch]) -> bool:
        """Learn what one checkpoint was of; whether it could be published."""
        for batch in batches:
            self._online.learn(batch)
        return fault_in(self._online.checkpoint()) is None


def fault_in(draft: Draft) -> str | None:
    """Why a draft must not be published: a loss that has exploded, a metric or a weight that is not finite.

    Exploded is what is far above the usual by too many examples to be chance.
    """
    broken = {name: value for name, value in draft.metrics.items() if not math.isfinite(value)}
    if broken:
        return f"metrics {broken}"
    usual = draft.usual_loss
    for tested in draft.tested:
        beyond = (tested.loss - EXPLODED * (usual or 0.0)) * tested.examples
        if not math.isfinite(beyond) or (usual and beyond > EXPLODED_NATS):
            return f"loss {tested.loss:.4g} over {tested.examples} examples, usually {usual or math.nan:.4g}"
    weights = draft.weights.not_finite()
    return f"weights {weights}" if weights else None


def _has_click(received: Received) -> bool:
    return any(outcome.clicked for outcome in received.slate.outcomes)


def _named(offsets: dict[int, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in offsets.items()}


def _passed(since_ms: int, interval_ms: float, now_ms: int) -> bool:
    """Whether the interval is over; a wall clock that was set back counts as over, too."""
    return abs(now_ms - since_ms) >= interval_ms
