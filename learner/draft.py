"""PURE: what learning gives: a summary of each step, and weights that are ready to be published."""

from dataclasses import dataclass
from functools import cached_property

from learner.checkpoint import content_hash, encode, version_of
from learner.scoring_state import Copy


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What one call of `learn` did: `loss` is the mean before the step, test-then-train."""

    examples: int
    loss: float
    label_ids: list[str]
    drifted: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """The scoring weights of a moment, to be published. `before` is the draft they go on from, if not full.

    `learned` examples had the mean `metrics["loss"]`; that of earlier checkpoints is about `usual_loss`.
    `payload` and `version` are made when they are first asked for: that can be on another thread.
    """

    weights: Copy
    folded: str | None = None
    before: "Draft | None" = None
    base: str
    examples_seen: int
    metrics: dict[str, float]
    learned: int = 0
    usual_loss: float | None = None

    @cached_property
    def payload(self) -> bytes:
        """The checkpoint's bytes."""
        return encode(self.weights.pack(), {})

    @cached_property
    def sha256(self) -> str:
        """The content hash, which stands for the version."""
        return content_hash(self.payload)

    @property
    def ranks(self) -> dict[str, int]:
        """How many triplets live in each adapted layer."""
        return self.weights.ranks()

    @property
    def version(self) -> str:
        """The name of these weights."""
        return version_of(self.sha256)

    @property
    def parent(self) -> str | None:
        """The version that must be served before; None for a full one."""
        return None if self.before is None else self.before.version
