"""PURE: the settings of the stream worker and the tools, parsed once from the environment passed in."""

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas import environment
from schemas.access import Access
from schemas.environment import require, setting
from schemas.recommendation import MAX_K
from stream import worth
from stream.join_settings import EVERYWHERE, REFINEMENTS, JoinSettings, Rules

ROLES: Final = ("label", "score", "evaluate")

_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,200}")


@dataclass(frozen=True, kw_only=True)
class Settings(Access):
    """What a process needs to know; the defaults run on a laptop.

    The variable of a field is its name in capitals behind `FRESHRANK_`. The `help` in a field's
    metadata is what the README's table shows.
    """

    prefix: str = setting("", "put before every topic name")
    partitions: int = setting(4, "partitions of every topic that is created; the same for all")
    replication: int = setting(1, "replication factor of every topic that is created")
    group: str = setting("freshrank", "consumer group, which is also the Faust application id")
    model: str = setting("default", "name of the model: the key under which checkpoints are published")
    window_s: float = setting(
        600.0, "seconds after an impression at which an item without a click is a negative"
    )
    windows: tuple[str, ...] = setting(
        (), "surfaces with a window of their own, `surface=seconds`, comma-separated"
    )
    refine: tuple[str, ...] = setting(
        tuple(sorted(Rules().refinements)), f"what labels are refined by, some of: {', '.join(REFINEMENTS)}"
    )
    autoplay: tuple[str, ...] = setting(
        (EVERYWHERE,), "surfaces where a dwell without a click tells of satisfaction; `*`: all"
    )
    bounce_weight: float = setting(
        0.0, "weight of the negative that a click becomes which was regretted at once; 0: it stays a click"
    )
    lateness_s: float = setting(
        10.0, "seconds by which events may arrive out of order and still be joined at once"
    )
    state_dir: str = setting(".freshrank", "directory of everything a process keeps on disk")
    database: str = setting(
        "", "SQLAlchemy URL of the registry; empty: SQLite in the state directory", secret=True
    )
    base: str = setting("", "directory of the trained base; empty: `base` in the state directory")
    roles: tuple[str, ...] = setting(
        ROLES,
        "what the workers of this group do, all alike, comma-separated: `label`, `score` (with `label`, "
        "which has the sessions), `evaluate`",
    )
    web_host: str = setting("127.0.0.1", "address on which the worker answers HTTP")
    web_port: int = setting(6066, "port on which the worker answers HTTP")
    web_token: str = setting(
        "", "bearer token that every page but health asks for; a must beyond loopback", secret=True
    )
    utility: tuple[str, ...] = setting(
        worth.entries(worth.WORTH),
        "what each outcome is worth, `outcome=weight`, comma-separated; one not named: 0",
    )
    refresh_k: int = setting(10, "items in a recommendation that is refreshed without being asked for")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self, "prefix", bool(_TOPIC_PREFIX.fullmatch(self.prefix)), "at most 200 of A-Z a-z 0-9 . _ -"
        )
        for name in ("partitions", "replication"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("group", "model", "state_dir", "web_host"):
            require(self, name, bool(getattr(self, name)), "not empty")
        require(self, "window_s", 0.001 <= self.window_s < math.inf, "at least 0.001, a millisecond")
        require(
            self,
            "windows",
            _windows(self.windows) is not None,
            "surface=seconds, at least 0.001, comma-separated",
        )
        require(self, "refine", set(self.refine) <= set(REFINEMENTS), f"some of {','.join(REFINEMENTS)}")
        require(self, "bounce_weight", 0 <= self.bounce_weight <= 1, "0 to 1")
        require(self, "lateness_s", 0 <= self.lateness_s < math.inf, "at least 0")
        require(
            self, "roles", bool(self.roles) and set(self.roles) <= set(ROLES), f"some of {','.join(ROLES)}"
        )
        # A worker that only scores would know nobody; and Faust gives partitions to those alone that read
        # all their topics: beside one that only labels, neither would have any.
        can_score = "score" not in self.roles or "label" in self.roles
        require(self, "roles", can_score, "label beside score, which answers by its sessions")
        require(self, "web_port", 1 <= self.web_port <= 65535, "a port, 1 to 65535")
        safe = is_loopback(self.web_host) or bool(self.web_token)
        require(self, "web_token", safe, f"a token, as web_host {self.web_host} is not loopback")
        known = ", ".join(f"{outcome}=number" for outcome in worth.WORTH)
        require(self, "utility", worth.parse(self.utility) is not None, f"some of {known}, not all 0")
        require(self, "refresh_k", 1 <= self.refresh_k <= MAX_K, f"1 to {MAX_K}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Parse the `FRESHRANK_*` variables; a variable that is absent leaves the default.

        Raises:
            SettingsError: naming the variable, what was expected and what it holds.

        >>> Settings.from_env({"FRESHRANK_PARTITIONS": "8", "FRESHRANK_ROLES": "label,score"}).roles
        ('label', 'score')
        """
        return environment.parse(cls, environ)

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the registry, with the default filled in."""
        return self.database or f"sqlite:///{Path(self.state_dir) / 'freshrank.db'}"

    @property
    def base_dir(self) -> Path:
        """The directory of the trained base, with the default filled in."""
        return Path(self.base) if self.base else Path(self.state_dir) / "base"

    @property
    def worth(self) -> dict[str, float]:
        """What each outcome is worth: an answer is ranked by the expected sum."""
        return worth.parse(self.utility) or {}

    @property
    def join(self) -> JoinSettings:
        """How labels are joined and judged."""
        return JoinSettings(
            window_ms=int(self.window_s * 1000),
            lateness_ms=int(self.lateness_s * 1000),
            windows=_windows(self.windows) or {},
            rules=Rules(
                refinements=frozenset(self.refine),
                autoplay=frozenset(self.autoplay),
                bounce_weight=self.bounce_weight,
            ),
        )

    def to_env(self) -> dict[str, str]:
        """Return the variables from which `from_env` makes these settings: what a child process is given."""
        return environment.to_env(self)


def _windows(entries: Sequence[str]) -> dict[str, int] | None:
    """Surface → window in ms; None where an entry is not `surface=seconds`.

    >>> _windows(["feed=600", "search=0.5"]), _windows(["feed"]), _windows(["feed=-1"])
    ({'feed': 600000, 'search': 500}, None, None)
    """
    found = [re.fullmatch(r"(.*)=(\d+(?:\.\d+)?)", entry) for entry in entries]
    windows = {match[1]: int(float(match[2]) * 1000) for match in found if match is not None}
    return windows if len(windows) == len(entries) and all(windows.values()) else None


def is_loopback(host: str) -> bool:
    """Whether an address of this machine is seen by nobody else.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
