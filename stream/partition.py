"""PURE: one assigned partition: its fold, and what of it may be committed, topic by topic."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from stream.folding import PartitionFold
from stream.inbound import Inbound
from stream.offsets import Offsets
from stream.reading import logged_ms
from stream.watermark import NOTHING

Token = tuple[str, int]
"""Topic, without prefix, and offset of a message within its partition."""


class Partition:
    """A fold with the offsets of what it was given.

    Labels are returned before their messages can be committed: send them, then call `release`.
    """

    def __init__(self, fold: PartitionFold[Token]) -> None:
        self._fold = fold
        self._offsets: defaultdict[str, Offsets] = defaultdict(Offsets)
        self._newest: dict[str, int] = {}

    def take(self, event: UserEvent, message: Inbound, now_ms: int) -> list[LabeledSlate]:
        """Fold one event; returns the labels known at once."""
        topic, logged = message.topic, logged_ms(message)
        self._offsets[topic].read(message.offset)
        reached = min(event.ts, logged)
        if reached > self._newest.get(topic, -1):
            self._newest[topic] = reached
        return self._fold.fold(event, topic, (topic, message.offset), now_ms, logged)

    def skip(self, message: Inbound) -> None:
        """Pass over a message that was refused."""
        offsets = self._offsets[message.topic]
        offsets.read(message.offset)
        offsets.done(message.offset)

    def advance(
        self, now_ms: int, unread: Collection[str], ended: Mapping[str, int] = NOTHING
    ) -> list[LabeledSlate]:
        """Return the labels that time has made final.

        `unread` names the topics that hold more; `ended` says when the others were known to hold none.
        """
        return self._fold.advance(now_ms, unread, ended)

    def release(self) -> None:
        """Let go of the messages whose every label was returned before, and now has been sent."""
        for topic, offset in self._fold.done_tokens():
            self._offsets[topic].done(offset)

    def take_changed(self) -> set[str]:
        """Users whose session changed since the last call."""
        return self._fold.take_changed()

    def take_evidence(self) -> bytes | None:
        """What a successor needs of what the stream taught, if it changed; call it before every commit."""
        return self._fold.take_evidence()

    @property
    def settled_ts(self) -> int:
        """No session of an earlier moment will be asked for any more."""
        return self._fold.settled_ts

    def restore_evidence(self, raw: bytes) -> None:
        """Go on from what a predecessor took; before the first message is taken."""
        self._fold.restore_evidence(raw)

    def position(self, topic: str) -> int | None:
        """The offset after the last message taken of a topic; None before the first."""
        return self._offsets[topic].next if topic in self._offsets else None

    def leads(self, topic: str, others: Collection[str], by_ms: int) -> bool:
        """Whether a topic was read further in event time than one of the others, by more than `by_ms`."""
        own = self._newest.get(topic)
        if own is None:
            return False
        return any(self._newest[other] < own - by_ms for other in others if other in self._newest)

    def committable(self) -> dict[str, int]:
        """Topic → the offset from which a successor must read."""
        known = {topic: offsets.committable for topic, offsets in self._offsets.items()}
        return {topic: offset for topic, offset in known.items() if offset is not None}

    @property
    def open(self) -> int:
        """Messages whose labels are not all final."""
        return sum(len(offsets) for offsets in self._offsets.values())

    @property
    def counts(self) -> dict[str, int]:
        """The fold's totals."""
        return self._fold.counts
