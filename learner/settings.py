"""PURE: the settings of the learner process, parsed once from the environment passed in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from learner.update_settings import UpdateSettings
from schemas import environment
from schemas.access import Access
from schemas.environment import require, setting


@dataclass(frozen=True, kw_only=True)
class LearnerSettings(Access, UpdateSettings):
    """What `python -m learner` needs to know; the defaults run on a laptop.

    The variable of a field is its name in capitals behind `FRESHRANK_`. Broker, prefix, model, state_dir
    and base are the stream worker's too. How weights are updated is described in `UpdateSettings`.
    """

    prefix: str = setting("", "put before every topic name")
    model: str = setting("default", "name of the model: the key under which checkpoints are published")
    state_dir: str = setting(".freshrank", "directory of everything a process keeps on disk")
    base: str = setting("", "directory of the trained base; empty: `base` in the state directory")
    text_encoder: str = setting(
        "", "of a new base: Hugging Face model of texts, hub id or directory; empty: all-MiniLM-L6-v2"
    )
    text_blocks: int = setting(
        0, "of a new base: last blocks of the text encoder that the stream adapts, too; 0: none"
    )
    backbone: str = setting(
        "", "of a new base: Hugging Face model that reads sessions, hub id or directory; empty: our own"
    )
    session_layers: int = setting(
        0, "of a new base without a backbone: layers of the transformer that reads sessions; 0: fading means"
    )
    position_by_surface: bool = setting(
        False, "of a new base: learn the bias of positions for each surface apart, too"
    )
    wordings: int = setting(
        0, "of a new base: other wordings of each item's text to train with, shuffled and shortened; 0: none"
    )
    snapshots: str = setting(
        "", "directory or fsspec URL of the trainer's snapshots; empty: in the state directory"
    )
    learner_group: str = setting(
        "freshrank-learner", "group of the committed label offsets, for monitoring lag"
    )
    publish_ms: int = setting(250, "time between two checkpoints while labels come in")
    publish_examples: int = setting(0, "examples between two checkpoints, whatever the time; 0: by time")
    snapshot_s: float = setting(30.0, "time between two snapshots of the trainer")
    batch_max: int = setting(256, "most labelled slates in one update")
    batch_min: int = setting(
        1, "fewest labelled slates in one update; as many as the most: the same updates on every run"
    )
    poll_ms: int = setting(50, "longest wait for labels")
    catalogue_s: float = setting(60.0, "longest wait, at the start, for the items topic to be read")
    seed: int = setting(0, "seed of all chance in learning")
    device: str = setting("", "torch device; empty: `cuda` if there is one, else `cpu`")
    threads: int = setting(1, "CPU threads of an update")

    def __post_init__(self) -> None:
        Access.__post_init__(self)
        UpdateSettings.__post_init__(self)
        for name in ("model", "state_dir", "learner_group"):
            require(self, name, bool(getattr(self, name)), "not empty")
        for name in ("publish_ms", "batch_max", "batch_min", "poll_ms", "threads"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(
            self, "batch_min", self.batch_min <= self.batch_max, f"at most the {self.batch_max} of one update"
        )
        for name in ("snapshot_s", "catalogue_s"):
            require(self, name, 0 < getattr(self, name) < math.inf, "above 0")
        for name in ("seed", "publish_examples", "session_layers", "text_blocks", "wordings"):
            require(self, name, getattr(self, name) >= 0, "at least 0")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "LearnerSettings":
        """Parse the `FRESHRANK_*` variables; a variable that is absent leaves the default.

        Raises:
            SettingsError: naming the variable, what was expected and what it holds.

        >>> LearnerSettings.from_env({"FRESHRANK_PUBLISH_MS": "100"}).publish_ms
        100
        """
        return environment.parse(cls, environ)

    @property
    def base_dir(self) -> Path:
        """The directory of the trained base, with the default filled in."""
        return Path(self.base) if self.base else Path(self.state_dir) / "base"

    def snapshot_dir(self, base_hash: str) -> str:
        """Where the snapshots over one base are kept: those of another base cannot be restored."""
        root = self.snapshots or f"{self.state_dir}/snapshots"
        return f"{root.rstrip('/')}/{self.model}/{base_hash}"
