"""PURE: the settings of the stream worker and the tools, parsed once from the environment passed in."""

import math
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from schemas.errors import SettingsError
from schemas.recommendation import MAX_K

ENV_PREFIX: Final = "FRESHRANK_"
ROLES: Final = ("label", "score", "evaluate")

_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,200}")
_ADDRESS = re.compile(r"[^\s:,]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


def _setting(default: Any, description: str) -> Any:
    return field(default=default, metadata={"help": description})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process needs to know; the defaults run on a laptop.

    The variable of a field is its name in capitals behind `FRESHRANK_`. The `help` in a field's
    metadata is what the README's table shows.
    """

    broker: str = _setting("127.0.0.1:9092", "Kafka bootstrap servers, `host:port`, comma-separated")
    prefix: str = _setting("", "put before every topic name")
    partitions: int = _setting(4, "partitions of every topic that is created; the same for all")
    replication: int = _setting(1, "replication factor of every topic that is created")
    group: str = _setting("freshrank", "consumer group, which is also the Faust application id")
    model: str = _setting("default", "name of the model: the key under which checkpoints are published")
    window_s: float = _setting(
        600.0, "seconds after an impression at which an item without a click is a negative"
    )
    lateness_s: float = _setting(
        10.0, "seconds by which events may arrive out of order and still be joined at once"
    )
    state_dir: str = _setting(".freshrank", "directory of everything a process keeps on disk")
    database: str = _setting("", "SQLAlchemy URL of the registry; empty: SQLite in the state directory")
    base: str = _setting("", "directory of the trained base; empty: `base` in the state directory")
    roles: tuple[str, ...] = _setting(
        ROLES, "what this worker does, comma-separated: `label`, `score`, `evaluate`"
    )
    web_host: str = _setting("127.0.0.1", "address on which the worker answers HTTP")
    web_port: int = _setting(6066, "port on which the worker answers HTTP")
    refresh_k: int = _setting(10, "items in a recommendation that is refreshed without being asked for")

    def __post_init__(self) -> None:
        _require(self, "broker", all(map(_is_address, self.broker.split(","))), "host:port, comma-separated")
        _require(
            self, "prefix", bool(_TOPIC_PREFIX.fullmatch(self.prefix)), "at most 200 of A-Z a-z 0-9 . _ -"
        )
        for name in ("partitions", "replication"):
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("group", "model", "state_dir", "web_host"):
            _require(self, name, bool(getattr(self, name)), "not empty")
        _require(self, "window_s", 0 < self.window_s < math.inf, "above 0")
        _require(self, "lateness_s", 0 <= self.lateness_s < math.inf, "at least 0")
        _require(
            self, "roles", bool(self.roles) and set(self.roles) <= set(ROLES), f"some of {','.join(ROLES)}"
        )
        _require(self, "web_port", 1 <= self.web_port <= 65535, "a port, 1 to 65535")
        _require(self, "refresh_k", 1 <= self.refresh_k <= MAX_K, f"1 to {MAX_K}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Parse the `FRESHRANK_*` variables; a variable that is absent leaves the default.

        Raises:
            SettingsError: naming the variable, what was expected and what it holds.

        >>> Settings.from_env({"FRESHRANK_PARTITIONS": "8", "FRESHRANK_ROLES": "label,score"}).roles
        ('label', 'score')
        """
        given = {spec: environ[variable(spec.name)] for spec in fields(cls) if variable(spec.name) in environ}
        return cls(**{spec.name: _parse(spec, text) for spec, text in given.items()})

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the registry, with the default filled in."""
        return self.database or f"sqlite:///{Path(self.state_dir) / 'freshrank.db'}"

    @property
    def base_dir(self) -> Path:
        """The directory of the trained base, with the default filled in."""
        return Path(self.base) if self.base else Path(self.state_dir) / "base"

    def to_env(self) -> dict[str, str]:
        """Return the variables from which `from_env` makes these settings: what a child process is given."""
        return {variable(spec.name): _format(getattr(self, spec.name)) for spec in fields(self)}


def variable(name: str) -> str:
    """Return the environment variable of a field.

    >>> variable("web_port")
    'FRESHRANK_WEB_PORT'
    """
    return ENV_PREFIX + name.upper()


def _parse(spec: Field[Any], text: str) -> Any:
    kind: type[Any] = type(spec.default)
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError:
        expected = {int: "a whole number", float: "a number"}[kind]
        raise SettingsError(f"{variable(spec.name)}: expected {expected}, got {text!r}") from None


def _format(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _is_address(text: str) -> bool:
    return bool(_ADDRESS.fullmatch(text)) and int(text.rpartition(":")[2]) <= 65535


def _require(settings: Settings, name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise SettingsError(
            f"{variable(name)}: expected {expected}, got {_format(getattr(settings, name))!r}"
        )
