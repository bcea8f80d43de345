"""PURE: what learning gives: a summary of each step, and weights that are ready to be published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from learner.checkpoint import content_hash, encode, version_of
from learner.scoring_state import Copy
from learner.usual import MeanLoss


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What one call of `learn` did: `loss` is the mean before the step, test-then-train."""

    examples: int
    loss: float
    label_ids: list[str]
    drifted: bool = False


class Name:
    """A version that is worked out when it is first asked for; what it is worked out from is then let go.

    >>> name = Name(lambda: "a")
    >>> name(), name()
    ('a', 'a')
    """

    def __init__(self, work_out: Callable[[], str]) -> None:
        self._known: Callable[[], str] = work_out

    def __call__(self) -> str:
        """The version; safe to ask from two threads, which then may both work it out."""
        name = self._known()
        self._known = lambda: name
        return name


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """The scoring weights of a moment, to be published. `before` names those they go on from, if not full.

    `tested` is what is known of their losses; that of earlier checkpoints is about `usual_loss`.
    `payload` and `version` are made when they are first asked for: that can be on another thread.
    """

    weights: Copy
    folded: str | None = None
    before: Name | None = None
    base: str
    examples_seen: int
    metrics: dict[str, float]
    tested: Sequence[MeanLoss] = ()
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

    @cached_property
    def name(self) -> Name:
        """These weights' version, for the draft that goes on from them: it must not keep them all."""
        return Name(lambda: version_of(self.sha256))

    @property
    def version(self) -> str:
        """The name of these weights."""
        return self.name()

    @property
    def parent(self) -> str | None:
        """The version that must be served before; None for a full one."""
        return None if self.before is None else self.before()
