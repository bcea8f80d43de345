"""PURE: what the loop needs of the world, as protocols that the tests' fakes fulfil, too."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from learner.draft import Draft, Learned
from schemas.checkpoint import Manifest, Snapshot
from schemas.evaluation import Evaluation
from schemas.events import Item
from schemas.labels import LabeledSlate
from schemas.trace import Trace

Clock = Callable[[], int]
"""Wall-clock milliseconds since the epoch."""


Prepare = Callable[[], tuple[Manifest, bytes]]
"""Makes a checkpoint's manifest and payload; called on the thread that sends them."""


class Received(NamedTuple):
    """A label as it came from Kafka."""

    slate: LabeledSlate
    trace: Trace
    partition: int
    offset: int


class ItemChange(NamedTuple):
    """An item's new record; None where it left the catalogue."""

    item_id: str
    item: Item | None


class State(Protocol):
    """Trainer state of a moment, copied; it is encoded when asked for, on whatever thread."""

    def parts(self) -> Iterable[bytes]:
        """The state encoded, a part at a time."""

    @property
    def payload(self) -> bytes:
        """All parts together: what `Online.restore` takes."""


class Online(Protocol):
    """A learner without wires."""

    @property
    def is_folding(self) -> bool:
        """Whether the last checkpoint is still to become the base: a snapshot would not know of it."""

    def learn(self, slates: Sequence[LabeledSlate]) -> Learned:
        """Take one step on these labels."""

    def checkpoint(self) -> Draft:
        """Return the scoring weights of now."""

    def snapshot(self) -> State:
        """Return all trainer state."""

    def restore(self, raw: bytes) -> None:
        """Take back a snapshot."""

    def put_items(self, items: Sequence[Item]) -> int:
        """Add or replace items; returns how many there was no room for."""

    def remove_item(self, item_id: str) -> None:
        """Take an item out."""


class Labels(Protocol):
    """A log of labels, read from offsets that the caller keeps."""

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go on from these offsets by partition, elsewhere from the beginning."""

    def poll(self, most: int, timeout_ms: int) -> list[Received]:
        """Return the next labels."""

    def offsets(self) -> dict[int, int]:
        """Return the next offsets, after all that was polled."""

    def commit(self) -> None:
        """Report how far we are."""


class Models(Protocol):
    """Where checkpoints go, one at a time and beside the training thread."""

    @property
    def ready(self) -> bool:
        """Whether the one before is sent."""

    def publish(self, prepare: Prepare) -> None:
        """Begin to make and send one; an error of the one before is raised."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until the last one is sent; False if that takes longer."""


class Snapshots(Protocol):
    """Where trainer state is kept, written one at a time and beside the training thread."""

    def newest(self) -> tuple[bytes, Snapshot] | None:
        """Return the newest whole one."""

    @property
    def ready(self) -> bool:
        """Whether the one before is written."""

    @property
    def written(self) -> Snapshot | None:
        """The newest that is known to be whole."""

    def write(self, state: State, offsets: dict[str, int]) -> None:
        """Begin to write one; an error of the one before is raised."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until the last one is written; False if that takes longer."""


class Items(Protocol):
    """Changes of the catalogue, from its beginning."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until all that was there at the start has been read; False if that takes longer."""

    def drain(self) -> list[ItemChange]:
        """Return the changes since the last call."""


class Evaluations(Protocol):
    """Where evaluation records go."""

    def record(self, evaluation: Evaluation) -> None:
        """Send one record."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The loop's connections."""

    labels: Labels
    models: Models
    snapshots: Snapshots
    items: Items
    evaluations: Evaluations
