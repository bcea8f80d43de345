"""SHELL: the ports of several ranks: labels from all of them, everything else from and to the first.

All ranks run the same loop over the same state, so they call the same port at the same time, and every call
can be an exchange. What the first rank alone can know, the time, the catalogue, whether a checkpoint is
sent, it tells the others; a label that one rank reads, all learn.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import torch

from learner.ports import (
    Clock,
    Evaluations,
    ItemChange,
    Items,
    Labels,
    Models,
    Ports,
    Prepare,
    Received,
    Snapshots,
    State,
)
from learner.ranks import Ranks
from schemas.checkpoint import Snapshot
from schemas.evaluation import Evaluation

T = TypeVar("T")


class _Polled(msgspec.Struct):
    """What a rank tells the others of its poll."""

    received: list[Received]
    offsets: dict[int, int]
    stopping: bool


def _gather(ranks: Ranks, value: Any, kind: Any) -> list[Any]:
    """The values of all ranks, in their order."""
    raw = torch.frombuffer(bytearray(msgspec.msgpack.encode(value)), dtype=torch.uint8)
    return [msgspec.msgpack.decode(part.numpy().tobytes(), type=kind) for part in ranks.gather(raw)]


def _told(ranks: Ranks, ask: Callable[[], T], kind: Any) -> T:
    """The first rank's answer; the others do not ask."""
    answers = _gather(ranks, ask() if ranks.rank == 0 else None, kind | None)
    answer: T = answers[0]
    return answer


def first_clock(ranks: Ranks, clock: Clock) -> Clock:
    """The first rank's clock, told to all."""
    return lambda: _told(ranks, clock, int)


def shared_ports(ranks: Ranks, own: Ports, stop: threading.Event, agreed: threading.Event) -> Ports:
    """The ports that every rank's loop gets, over its own: of these only the labels are used on all ranks."""
    return Ports(
        labels=GatheredLabels(ranks, own.labels, stop, agreed),
        models=_FirstModels(ranks, own.models),
        snapshots=_FirstSnapshots(ranks, own.snapshots),
        items=_FirstItems(ranks, own.items),
        evaluations=_FirstEvaluations(ranks, own.evaluations),
    )


class GatheredLabels:
    """The labels of all ranks, each reading its own partitions; equal on every rank, in the ranks' order.

    `agreed` is set on all ranks in the same call once `stop` is set on any: none must wait for one that left.
    """

    def __init__(self, ranks: Ranks, own: Labels, stop: threading.Event, agreed: threading.Event) -> None:
        self._ranks, self._own, self._stop, self._agreed = ranks, own, stop, agreed
        self._offsets: dict[int, int] = {}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go on from these offsets, each rank in its own partitions."""
        self._own.seek(offsets)
        self._exchange([])

    def poll(self, most: int, timeout_ms: int) -> list[Received]:
        """Return the next labels; a rank that has none waits for nobody while another has some."""
        share = max(1, most // self._ranks.size)
        return self._exchange(self._own.poll(share, 0)) or self._exchange(self._own.poll(share, timeout_ms))

    def offsets(self) -> dict[int, int]:
        """Return the next offset of every partition of every rank."""
        return dict(self._offsets)

    def commit(self) -> None:
        """Report how far this rank is; every rank does."""
        self._own.commit()

    def _exchange(self, received: list[Received]) -> list[Received]:
        own = _Polled(received, self._own.offsets(), self._stop.is_set())
        polled = _gather(self._ranks, own, _Polled)
        for one in polled:
            self._offsets |= one.offsets
        if any(one.stopping for one in polled):
            self._agreed.set()
        return [label for one in polled for label in one.received]


class _FirstModels:
    def __init__(self, ranks: Ranks, own: Models) -> None:
        self._ranks, self._own = ranks, own

    @property
    def ready(self) -> bool:
        return _told(self._ranks, lambda: self._own.ready, bool)

    def publish(self, prepare: Prepare) -> None:
        if self._ranks.rank == 0:
            self._own.publish(prepare)

    def wait(self, timeout_s: float) -> bool:
        return _told(self._ranks, lambda: self._own.wait(timeout_s), bool)


class _FirstSnapshots:
    def __init__(self, ranks: Ranks, own: Snapshots) -> None:
        self._ranks, self._own = ranks, own

    def newest(self) -> tuple[bytes, Snapshot] | None:
        return _told(self._ranks, self._own.newest, tuple[bytes, Snapshot])

    @property
    def ready(self) -> bool:
        return _told(self._ranks, lambda: self._own.ready, bool)

    @property
    def written(self) -> Snapshot | None:
        return self._own.written

    def write(self, state: State, offsets: dict[str, int]) -> None:
        if self._ranks.rank == 0:
            self._own.write(state, offsets)

    def wait(self, timeout_s: float) -> bool:
        return _told(self._ranks, lambda: self._own.wait(timeout_s), bool)


class _FirstItems:
    def __init__(self, ranks: Ranks, own: Items) -> None:
        self._ranks, self._own = ranks, own

    def wait(self, timeout_s: float) -> bool:
        return _told(self._ranks, lambda: self._own.wait(timeout_s), bool)

    def drain(self) -> list[ItemChange]:
        return _told(self._ranks, self._own.drain, list[ItemChange])


class _FirstEvaluations:
    def __init__(self, ranks: Ranks, own: Evaluations) -> None:
        self._ranks, self._own = ranks, own

    def record(self, evaluation: Evaluation) -> None:
        if self._ranks.rank == 0:
            self._own.record(evaluation)


class NoItems:
    """The catalogue of a rank that is told of it."""

    def wait(self, timeout_s: float) -> bool:  # noqa: ARG002  # the port's
        """Return at once."""
        return True

    def drain(self) -> list[ItemChange]:
        """Return nothing."""
        return []
