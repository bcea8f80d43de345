"""The manifest of a checkpoint: what a scorer must know before it trusts the weights."""

from schemas.record import Record, Ts
from schemas.trace import Trace

FORMAT = 3


class Snapshot(Record, frozen=True, kw_only=True):
    """Where the trainer state that this checkpoint grew from was written."""

    uri: str
    sha256: str
    offsets: dict[str, int]


class Manifest(Record, frozen=True, kw_only=True):
    """Describes one checkpoint. `version` is the content hash of its scoring weights.

    `parent` is None for a full checkpoint; a delta holds only what changed since its parent.
    `base` is the hash of the frozen base that the weights belong to; where that came of a consolidation,
    `folded` is the version that was folded into the base before it. `chunks` records, keyed
    `model/version/n`, hold the weights; the manifest's own record comes last, as the commit mark.
    """

    format: int = FORMAT
    model: str
    version: str
    parent: str | None
    base: str
    created_ts: Ts
    offsets: dict[str, int]
    examples_seen: int
    ranks: dict[str, int]
    metrics: dict[str, float]
    bytes: int
    sha256: str
    chunks: int
    snapshot: Snapshot | None = None
    folded: str | None = None
    learned: list[Trace] = []
