"""SHELL: the models topic, read whole by every scorer: assemble, verify, prepare, swap, tell."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Lock
from typing import NamedTuple, Protocol

from schemas.checkpoint import Manifest
from schemas.codec import decode, encode
from schemas.errors import CheckpointRefused, InvalidRecord
from schemas.evaluation import Evaluation
from schemas.topics import EVALUATIONS
from schemas.trace import HEADER, Trace
from stream.inbound import Followed
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.refresher import Served

REFUSED = "checkpoint_refused"
"""Name of the evaluation record that says why a checkpoint is not served."""

REASON_CHARS = 500

PAUSE_S = 0.02
"""How long a checkpoint may lie before it is looked at."""

log = logging.getLogger(__name__)


class Serves(Protocol):
    """The part of the scorer that swaps versions."""

    def apply(self, manifest: Manifest, payload: bytes) -> None:
        """Serve a checkpoint from the next call on; raises CheckpointRefused."""
        ...


Assemble = Callable[[bytes | None, bytes | None, Sequence[tuple[str, bytes]]], tuple[Manifest, bytes] | None]
"""Takes one record; returns the checkpoint that it completes; raises CheckpointRefused."""


class Whole(NamedTuple):
    """A checkpoint that has been put together, and when it was published (ms)."""

    manifest: Manifest
    payload: bytes
    published: int | None


class Damaged(NamedTuple):
    """A record of the topic that no checkpoint can be made of."""

    version: str | None
    error: CheckpointRefused


class Waiting:
    """Checkpoints that wait to be served, put by one thread and taken by another.

    What a newer full one makes needless is let go at once: who starts cold reads all of the topic, but has to
    hold only the last stretch of it, and what was folded into the base.
    """

    def __init__(self) -> None:
        self._wholes: list[Whole] = []
        self._lock = Lock()

    def __len__(self) -> int:
        """How many are held."""
        return len(self._wholes)

    def put(self, whole: Whole) -> None:
        """Add the newest."""
        with self._lock:
            self._wholes.append(whole)
            if whole.manifest.parent is None:
                self._wholes = newest(self._wholes)

    def take(self) -> list[Whole]:
        """Return those that have to be served, in order, and hold them no longer."""
        with self._lock:
            taken, self._wholes = self._wholes, []
        return taken


class CheckpointFeed:
    """Records come in on the follower's thread; checkpoints are applied from the event loop, one by one."""

    def __init__(
        self,
        scorer: Serves,
        assemble: Assemble,
        model: str,
        outbox: Outbox,
        metrics: Metrics,
        clock: Callable[[], int],
        on_swap: Callable[[Served], None],
    ) -> None:
        self._scorer = scorer
        self._assemble = assemble
        self._model = model
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._on_swap = on_swap
        self._waiting = Waiting()
        self._damaged: SimpleQueue[Damaged] = SimpleQueue()
        self._all_read = asyncio.Event()
        self.ready = asyncio.Event()

    def on_record(self, record: Followed) -> None:
        """Take one record; called on the follower's thread."""
        try:
            whole = self._assemble(record.key, record.value, record.headers)
        except CheckpointRefused as error:
            self._damaged.put(Damaged(_version(record.key), error))
            return
        if whole is not None and whole[0].model == self._model:
            self._waiting.put(Whole(*whole, published=_published(record.headers)))

    def on_caught_up(self) -> None:
        """Notice that all that was there at the start has been handed over."""
        self._all_read.set()

    async def run(self) -> None:
        """Serve the newest checkpoint that was there at the start, and then each as it comes, for ever."""
        await self._all_read.wait()
        while True:
            damaged, waiting = list(self._drain()), self._waiting.take()
            for one in damaged:
                await self._refuse(one.version, one.error)
            for whole in waiting:
                await self._serve(whole)
            if not damaged and not waiting:
                self.ready.set()
                await asyncio.sleep(PAUSE_S)

    def _drain(self) -> Iterator[Damaged]:
        try:
            while True:
                yield self._damaged.get_nowait()
        except Empty:
            return

    async def _serve(self, whole: Whole) -> None:
        manifest = whole.manifest
        try:
            await asyncio.to_thread(self._scorer.apply, manifest, whole.payload)
        except CheckpointRefused as error:
            await self._refuse(manifest.version, error)
            return
        self._metrics.checkpoints.labels("served").inc()
        self._metrics.serving.info({"version": manifest.version, "base": manifest.base})
        log.info(
            "serving %s: %d examples seen, %d bytes", manifest.version, manifest.examples_seen, manifest.bytes
        )
        self._on_swap(Served(manifest, whole.published))

    async def _refuse(self, version: str | None, error: CheckpointRefused) -> None:
        self._metrics.checkpoints.labels("refused").inc()
        log.error("checkpoint refused: %s", error)
        now = self._clock()
        evaluation = Evaluation(
            name=REFUSED,
            value=1.0,
            count=1,
            model_version=version,
            window_start=now,
            window_end=now,
            slice={"reason": str(error)[:REASON_CHARS]},
        )
        await self._outbox.send(EVALUATIONS, evaluation.name.encode(), encode(evaluation))


def newest(arrived: list[Whole]) -> list[Whole]:
    """The last full checkpoint of several, what builds on it, and what was folded into its base, in order.

    All of them, where none is full.
    """
    full = [number for number, whole in enumerate(arrived) if whole.manifest.parent is None]
    if not full:
        return arrived
    needed = arrived[full[-1] :]
    by_version = {whole.manifest.version: whole for whole in arrived}
    while (folded := by_version.get(needed[0].manifest.folded or "")) is not None:
        needed.insert(0, folded)
    return needed


def _published(headers: Sequence[tuple[str, bytes]]) -> int | None:
    """When a checkpoint was sent; a damaged header costs a measurement and not the checkpoint."""
    try:
        return decode(Trace, dict(headers).get(HEADER) or b"{}").published
    except InvalidRecord:
        return None


def _version(key: bytes | None) -> str | None:
    """The version that a key `model/version/part` names, as far as it can be told."""
    parts = (key or b"").decode(errors="replace").split("/")
    return parts[-2] if len(parts) > 2 else None
