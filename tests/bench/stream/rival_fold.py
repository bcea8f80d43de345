"""SHELL: what the versions of the job in other frameworks share: the pure fold, one a partition.

They know of no log ends: every topic may hold more, and the slowest closes slates. Nothing is acknowledged
exactly.
"""

import os
from collections import defaultdict

import msgspec

from schemas.codec import decode, encode
from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from schemas.topics import USER_EVENTS
from stream.folding import PartitionFold
from stream.reading import USER_EVENT_TYPES
from stream.sessions import SessionState
from stream.settings import Settings

SETTINGS = Settings.from_env(os.environ)
BROKER, PREFIX, GROUP = SETTINGS.broker, SETTINGS.prefix, SETTINGS.group
NAMES = [topic.name for topic in USER_EVENTS[:3]]
TOPICS = [PREFIX + name for name in NAMES]
LABELS = PREFIX + "labels"
SESSIONS = PREFIX + "rival-sessions"

EVERY = 64
"""Messages between two looks at what event time has closed."""


class Folds:
    """Messages in; labels and the changed session of each message out."""

    def __init__(self) -> None:
        self._states: dict[str, SessionState] = {}
        self._folds: defaultdict[int, PartitionFold[int]] = defaultdict(
            lambda: PartitionFold(SETTINGS.join, self._states, lambda _: None)
        )
        self._taken = 0

    def take(self, topic: str, partition: int, value: bytes) -> tuple[UserEvent, list[LabeledSlate]]:
        """Fold one message; returns its event and the labels that are known now."""
        name = topic.removeprefix(PREFIX)
        event = decode(USER_EVENT_TYPES[name], value)
        fold = self._folds[partition]
        self._taken += 1
        labels = fold.fold(event, name, self._taken, event.ts)
        if self._taken % EVERY == 0:
            labels += fold.advance(event.ts, NAMES)
            fold.done_tokens()
            fold.take_evidence()
        return event, labels

    def session(self, user_id: str) -> bytes:
        """The user's session state, encoded."""
        return msgspec.msgpack.encode(self._states[user_id])


def encoded(label: LabeledSlate) -> tuple[bytes, bytes]:
    """Key and value of a label's record."""
    return label.user_id.encode(), encode(label)
