"""PURE: the settings of the learner process, parsed once from the environment passed in."""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from schemas.errors import SettingsError

ENV_PREFIX: Final = "FRESHRANK_"


def _setting(default: Any, description: str) -> Any:
    return field(default=default, metadata={"help": description})


@dataclass(frozen=True, kw_only=True)
class LearnerSettings:
    """What `python -m learner` needs to know; the defaults run on a laptop.

    The variable of a field is its name in capitals behind `FRESHRANK_`. Broker, prefix, model, state_dir
    and base are the stream worker's too.
    """

    broker: str = _setting("127.0.0.1:9092", "Kafka bootstrap servers, `host:port`, comma-separated")
    prefix: str = _setting("", "put before every topic name")
    model: str = _setting("default", "name of the model: the key under which checkpoints are published")
    state_dir: str = _setting(".freshrank", "directory of everything a process keeps on disk")
    base: str = _setting("", "directory of the trained base; empty: `base` in the state directory")
    snapshots: str = _setting(
        "", "directory or fsspec URL of the trainer's snapshots; empty: in the state directory"
    )
    learner_group: str = _setting(
        "freshrank-learner", "group of the committed label offsets, for monitoring lag"
    )
    publish_ms: int = _setting(500, "time between two checkpoints while labels come in")
    snapshot_s: float = _setting(30.0, "time between two snapshots of the trainer")
    batch_max: int = _setting(256, "most labelled slates in one update")
    poll_ms: int = _setting(50, "longest wait for labels")
    catalogue_s: float = _setting(60.0, "longest wait, at the start, for the items topic to be read")
    seed: int = _setting(0, "seed of all chance in learning")
    device: str = _setting("", "torch device; empty: `cuda` if there is one, else `cpu`")
    threads: int = _setting(1, "CPU threads of an update")

    def __post_init__(self) -> None:
        for name in ("broker", "model", "state_dir", "learner_group"):
            _require(self, name, bool(getattr(self, name)), "not empty")
        for name in ("publish_ms", "batch_max", "poll_ms", "threads"):
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("snapshot_s", "catalogue_s"):
            _require(self, name, 0 < getattr(self, name) < math.inf, "above 0")
        _require(self, "seed", self.seed >= 0, "at least 0")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "LearnerSettings":
        """Parse the `FRESHRANK_*` variables; a variable that is absent leaves the default.

        Raises:
            SettingsError: naming the variable, what was expected and what it holds.

        >>> LearnerSettings.from_env({"FRESHRANK_PUBLISH_MS": "250"}).publish_ms
        250
        """
        given = {spec: environ[variable(spec.name)] for spec in fields(cls) if variable(spec.name) in environ}
        return cls(**{spec.name: _parse(spec, text) for spec, text in given.items()})

    @property
    def base_dir(self) -> Path:
        """The directory of the trained base, with the default filled in."""
        return Path(self.base) if self.base else Path(self.state_dir) / "base"

    def snapshot_dir(self, base_hash: str) -> str:
        """Where the snapshots over one base are kept: those of another base cannot be restored."""
        root = self.snapshots or f"{self.state_dir}/snapshots"
        return f"{root.rstrip('/')}/{self.model}/{base_hash}"


def variable(name: str) -> str:
    """Return the environment variable of a field.

    >>> variable("publish_ms")
    'FRESHRANK_PUBLISH_MS'
    """
    return ENV_PREFIX + name.upper()


def _parse(spec: Field[Any], text: str) -> Any:
    kind: type[Any] = type(spec.default)
    try:
        return kind(text)
    except ValueError:
        expected = {int: "a whole number", float: "a number"}[kind]
        raise SettingsError(f"{variable(spec.name)}: expected {expected}, got {text!r}") from None


def _require(settings: LearnerSettings, name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise SettingsError(f"{variable(name)}: expected {expected}, got {str(getattr(settings, name))!r}")
