"""Stand-ins for what is outside a process, in memory and without threads: the ports of unit tests."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import torch

from learner import checkpoint
from learner.draft import Draft, Learned
from learner.ports import ItemChange, Prepare, Received, State
from learner.scoring_state import Copy
from learner.usual import MeanLoss
from schemas.checkpoint import Manifest, Snapshot
from schemas.evaluation import Evaluation
from schemas.events import Item
from schemas.labels import LabeledSlate


class FakeClock:
    """Milliseconds that pass only when told to, or by `tick` at every look."""

    def __init__(self, now: int = 1_000_000, tick: int = 0) -> None:
        self.now = now
        self.tick = tick

    def __call__(self) -> int:
        self.now += self.tick
        return self.now


class FakeState:
    """A trainer state that is bytes from the start."""

    def __init__(self, payload: bytes = b"") -> None:
        self.payload = payload

    def parts(self) -> list[bytes]:
        return [self.payload]


class FakeOnline:
    """An online learner whose weights are the list of the labels it was given, duplicates included.

    `poison` are label ids that ruin the loss; `corrupt` those that ruin the weights without its showing,
    `exploding` those that make the loss large, but finite. From each of `folding` on it stands on a new base.
    It has room for `rows` items.
    """

    def __init__(
        self,
        poison: Sequence[str] = (),
        corrupt: Sequence[str] = (),
        exploding: Sequence[str] = (),
        folding: Sequence[str] = (),
        rows: int = 1_000,
    ) -> None:
        self.poison = frozenset(poison)
        self.corrupt = frozenset(corrupt)
        self.exploding = frozenset(exploding)
        self.folding = frozenset(folding)
        self.rows = rows
        self.is_folding = False
        self.weights: list[str] = []
        self.items: dict[str, Item] = {}

    def learn(self, slates: Sequence[LabeledSlate]) -> Learned:
        new = [slate.label_id for slate in slates]
        self.weights.extend(new)
        loss = float("nan") if self.poison.intersection(new) else 0.5
        return Learned(examples=len(new), loss=loss, label_ids=new)

    def checkpoint(self) -> Draft:
        value = float("nan") if self.corrupt.intersection(self.weights) else float(len(self.weights))
        weights = {"weight": torch.tensor([value])}
        loss = 1e3 if self.exploding.intersection(self.weights) else 0.5
        return Draft(
            weights=Copy(dense=weights, numbers={}, names={}, rows={}, counts={}),
            base="base" + "'" * len(self.folding.intersection(self.weights)),
            examples_seen=len(self.weights),
            metrics={"loss": loss},
            tested=[MeanLoss(loss, 2)],
            usual_loss=0.5,
        )

    def snapshot(self) -> State:
        return FakeState(msgspec.json.encode(self.weights))

    def restore(self, raw: bytes) -> None:
        self.weights = msgspec.json.decode(raw, type=list[str])

    def put_items(self, items: Sequence[Item]) -> int:
        room = self.rows - len(self.items)
        self.items |= {item.item_id: item for item in items[:room]}
        return len(items[room:])

    def remove_item(self, item_id: str) -> None:
        self.items.pop(item_id, None)


class FakeLabels:
    """A log of labels by partition, polled round robin."""

    def __init__(self, log: Mapping[int, Sequence[Received]]) -> None:
        self.log = log
        self.next: dict[int, int] = {}
        self.committed: dict[int, int] = {}

    def seek(self, offsets: Mapping[int, int]) -> None:
        self.next = {partition: offsets.get(partition, 0) for partition in self.log}

    def poll(self, most: int, timeout_ms: int) -> list[Received]:
        received: list[Received] = []
        for partition, labels in self.log.items():
            taken = labels[self.next[partition] :][: most - len(received)]
            self.next[partition] += len(taken)
            received.extend(taken)
        return received

    def offsets(self) -> dict[int, int]:
        return dict(self.next)

    def commit(self) -> None:
        self.committed = dict(self.next)


class FakeModels:
    """Keeps what was published; not `ready` while told so."""

    def __init__(self) -> None:
        self.ready = True
        self.published: list[tuple[Manifest, bytes]] = []

    def publish(self, prepare: Prepare) -> None:
        self.published.append(prepare())

    def wait(self, timeout_s: float) -> bool:
        return self.ready


class FakeSnapshots:
    """Keeps the newest snapshot."""

    def __init__(self) -> None:
        self.ready = True
        self.payload = b""
        self.written: Snapshot | None = None

    def newest(self) -> tuple[bytes, Snapshot] | None:
        return None if self.written is None else (self.payload, self.written)

    def write(self, state: State, offsets: dict[str, int]) -> None:
        self.payload = b"".join(state.parts())
        self.written = Snapshot(
            uri="memory://snapshot", sha256=checkpoint.content_hash(self.payload), offsets=offsets
        )

    def wait(self, timeout_s: float) -> bool:
        return self.ready


class FakeItems:
    """Changes of the catalogue, all there from the start."""

    def __init__(self, *changes: ItemChange, read: bool = True) -> None:
        self.changes = list(changes)
        self.read = read

    def wait(self, timeout_s: float) -> bool:
        return self.read

    def drain(self) -> list[ItemChange]:
        changes, self.changes = self.changes, []
        return changes


class FakeEvaluations:
    """Keeps the records."""

    def __init__(self) -> None:
        self.records: list[Evaluation] = []

    def record(self, evaluation: Evaluation) -> None:
        self.records.append(evaluation)


class Crash(Exception):
    """The process is gone."""


class Crashing:
    """Passes everything on to `inner`; the process dies before or after the call that `dies` says so of."""

    def __init__(self, inner: object, dies: Callable[[], bool]) -> None:
        self._inner = inner
        self._dies = dies

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: object) -> object:
            self._die_if_due()
            result = found(*arguments)
            self._die_if_due()
            return result

        return call

    def _die_if_due(self) -> None:
        if self._dies():
            raise Crash
