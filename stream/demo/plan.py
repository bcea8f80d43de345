"""PURE: how large a demo is."""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The defaults end within five minutes on two cores, base training included.

    users: share of the sample's users, by a hash of their id.
    base_part: share of the log that trains the base; the rest is replayed.
    rate: events a second of the replay; below what two cores keep up with, so that freshness is no backlog.
    """

    users: float = 0.3
    base_part: float = 0.3
    rate: float = 300.0


def takes_part(user_id: str, share: float) -> bool:
    """Whether a user is among this share of all, every time alike.

    >>> takes_part("u1", 1.0), takes_part("u1", 0.0)
    (True, False)
    """
    hashed = int.from_bytes(blake2b(user_id.encode(), digest_size=4).digest(), "big")
    return hashed < share * 2**32
