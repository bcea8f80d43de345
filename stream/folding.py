"""PURE: one partition's whole fold: deduplication, sessions, the delayed join, and what may be acknowledged.

The Faust worker and the offline commands call this same object; only the mapping of sessions differs.
"""

from collections.abc import Callable, Collection, MutableMapping
from typing import Generic, TypeVar

from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from stream.labeling import JoinSettings
from stream.sessions import SessionState

Token = TypeVar("Token")


class PartitionFold(Generic[Token]):
    """Events of one partition, from all its topics, into labels.

    Mutates the session states that the caller owns, in place.
    """

    def __init__(
        self,
        settings: JoinSettings,
        sessions: MutableMapping[str, SessionState],
        durations: Callable[[str], float | None],
    ) -> None:
        """Fold into `sessions` (user id → state); `durations` gives an item's length in ms, if known."""
        raise NotImplementedError

    def fold(self, event: UserEvent, topic: str, token: Token, now_ms: int) -> list[LabeledSlate]:
        """Take one event; return the labels known at once (clicks, feedback without a slate).

        Args:
            event: an admitted event of this partition.
            topic: the unprefixed topic name, as `Watermark` and `advance(unread)` know it.
            token: opaque; comes back from `done_tokens` when the message may be acknowledged.
            now_ms: the wall clock; a constant offline.
        """
        raise NotImplementedError

    def advance(self, now_ms: int, unread: Collection[str] = ()) -> list[LabeledSlate]:
        """Return the labels that the watermark has made final; call it after every batch, and on a timer."""
        raise NotImplementedError

    def drain(self) -> list[LabeledSlate]:
        """Return all remaining labels: the log has ended and nothing else will come."""
        raise NotImplementedError

    def done_tokens(self) -> list[Token]:
        """Return, once each, the tokens of messages that may be acknowledged now."""
        raise NotImplementedError

    def take_changed(self) -> set[str]:
        """Return the users whose session changed since the last call, to be written once per batch."""
        raise NotImplementedError

    @property
    def counts(self) -> dict[str, int]:
        """Totals so far: duplicates, repeated impressions, orphans, off-slate events."""
        raise NotImplementedError
