"""PURE: the live path's fold over a log: what the learner observes, what is known of a user at a moment."""

from collections.abc import Callable

from schemas.events import UserEvent
from schemas.labels import LabeledSlate, Session
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings
from stream.offline import NO_CLOCK, TOPICS, release
from stream.sessions import SessionState, as_of


class Observer:
    """Folds a log as one partition."""

    def __init__(self, durations: Callable[[str], float | None], join: JoinSettings | None = None) -> None:
        """`durations` gives an item's length in ms, if known."""
        self._sessions: dict[str, SessionState] = {}
        self._fold: PartitionFold[None] = PartitionFold(join or JoinSettings(), self._sessions, durations)

    def session(self, user_id: str, ts: int, request_id: str | None = None) -> Session:
        """What is known of a user strictly before `ts`."""
        return as_of(self._sessions.get(user_id, SessionState()), ts, request_id)

    def observe(self, event: UserEvent) -> list[LabeledSlate]:
        """Take the log's next event; return the labels that are known now."""
        labels = self._fold.fold(event, TOPICS[type(event)], None, NO_CLOCK)
        labels += self._fold.advance(NO_CLOCK)
        release(self._fold)
        return labels
