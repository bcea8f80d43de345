"""PURE: how the stream moves the adapter: every knob of the online update, with its default."""

import math
from dataclasses import dataclass

from schemas.environment import require, setting


@dataclass(frozen=True, kw_only=True)
class UpdateSettings:
    """The settings of one learner's updates; the learner's process takes them from its environment.

    `step`, `dense_step` and `row_step` are 0.05, 0.15 and 0.25 of those with which the base was trained.
    With `allocate_every` 0 nothing is measured and ranks stay: plain LoRA, where `orthogonality` is 0, too.
    A drift lifts the budget, frees the rows' steps, and multiplies `step` by `boost`, which fades with the
    budget's descent.

    Raises:
        SettingsError: naming the variable, what was expected and what it holds.
    """

    rank: int = setting(6, "rank of each adapted layer at birth, and after a drift")
    mean_rank: int = setting(4, "mean rank of the layers once the budget has come down")
    step: float = setting(1e-4, "step size of the adapter at 64 slates an update; fewer: by their root less")
    dense_step: float = setting(3e-4, "step size of the small layers, which move in full; fewer: likewise")
    row_step: float = setting(0.005, "step size of the rows of ids")
    ledger: int = setting(
        100_000,
        "slates of which is known what they taught, in up to 1 kB each: no fewer than are shown within two "
        "windows; revisions of older ones are learned as if they were new",
    )
    replay: float = setting(0.5, "slates replayed for each new one")
    replay_memory: int = setting(4_096, "slates kept to be replayed")
    replay_horizon: int = setting(16_384, "slates over which the memory of what to replay turns over")
    orthogonality: float = setting(0.05, "orthogonality term at birth, as a share of a click's loss; 0: none")
    beta: float = setting(0.99, "smoothing of importance and of its uncertainty, over updates")
    allocate_every: int = setting(50, "updates between two allocations of the ranks; 0: ranks stay")
    descent_examples: int = setting(20_000, "labelled slates over which the budget comes down")
    exchange: float = setting(
        0.05, "share of the places that an allocation takes from the least important to regrow others"
    )
    clear_moments: bool = setting(True, "forget the optimiser's moments of what is pruned or regrown")
    bfloat16: bool = setting(
        False,
        "products in bfloat16 on a CPU, too: for a transformer, if it has AVX-512 BF16; on a GPU they are",
    )
    compile: bool = setting(
        False,
        "the transformer's pass as a compiled graph of one shape: faster with long sessions and hundreds of "
        "slates an update; takes a C++ compiler, and ten seconds at the first update",
    )
    clip: float = setting(5.0, "largest norm of an update's mean gradient")
    closeness: float = setting(
        0.0, "weight of the divergence from the last published model, on what is replayed; 0: none"
    )
    consolidate_every: int = setting(
        0, "labelled items after which the adapter is folded into the base; 0: never"
    )
    consolidate_below: float = setting(
        0.0,
        "fold the adapter into the base when allocations come to prune less than this share of its energy; "
        "0: never",
    )
    user_share: float = setting(
        0.05,
        "most that one user moves of what is learned, in the long run and in a checkpoint, 0 to 1; 1: all",
    )
    alarm: float = setting(0.002, "chance that a steady loss is called a drift; 0: nothing is")
    boost: float = setting(60.0, "how many times larger the adapter's steps are right after a drift")
    admit_after: int = setting(1, "labels that meet an item or a user before it has a row of its own")

    def __post_init__(self) -> None:
        for name in ("rank", "mean_rank", "ledger", "replay_memory", "descent_examples", "admit_after"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "mean_rank", self.mean_rank <= self.rank, f"at most the {self.rank} of birth")
        require(
            self,
            "replay_horizon",
            self.replay_horizon >= self.replay_memory,
            f"at least the {self.replay_memory} that are kept",
        )
        require(self, "clip", 0 < self.clip < math.inf, "above 0")
        for name in ("step", "dense_step", "row_step", "replay", "orthogonality", "closeness"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "at least 0")
        for name in ("allocate_every", "consolidate_every"):
            require(self, name, getattr(self, name) >= 0, "at least 0")
        for name in ("beta", "alarm", "consolidate_below"):
            require(self, name, 0 <= getattr(self, name) < 1, "at least 0, below 1")
        require(self, "exchange", 0 <= self.exchange <= 1, "0 to 1")
        require(self, "user_share", 0 < self.user_share <= 1, "above 0, at most 1")
        require(self, "boost", 1 <= self.boost < math.inf, "at least 1")
