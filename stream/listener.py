"""What a part of the worker implements that wants to know of events and labels as they pass."""

from typing import Protocol

from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from stream.outbox import Sent


class Listener(Protocol):
    """Called from the event loop, between two messages: be quick, and do not raise."""

    def on_event(self, event: UserEvent) -> None:
        """Notice an event that has just been folded."""
        ...

    def on_label(self, label: LabeledSlate, sent: Sent | None) -> None:
        """Notice a label that has been handed to the producer; `sent` is its delivery."""
        ...
