"""PURE: the live path's fold over a log: what the learner observes, what is known of a user at a moment."""

from collections.abc import Callable

from schemas.events import UserEvent
from schemas.labels import LabeledSlate, Session
from stream.folding import PartitionFold
from stream.intent import Tags, untagged
from stream.join_settings import JoinSettings
from stream.offline import NO_CLOCK, TOPICS, release


class Observer:
    """Folds a log as one partition."""

    def __init__(
        self,
        durations: Callable[[str], float | None],
        join: JoinSettings | None = None,
        tags: Tags = untagged,
    ) -> None:
        """`durations` gives an item's length in ms, if known, `tags` what it is about."""
        self._fold: PartitionFold[None] = PartitionFold(join or JoinSettings(), {}, durations, tags)

    def session(self, user_id: str, ts: int, request_id: str | None = None) -> Session:
        """What is known of a user strictly before `ts`."""
        return self._fold.session_of(user_id, ts, request_id)

    def observe(self, event: UserEvent) -> list[LabeledSlate]:
        """Take the log's next event; return the labels that are known now."""
        labels = self._fold.fold(event, TOPICS[type(event)], None, NO_CLOCK)
        labels += self._fold.advance(NO_CLOCK)
        release(self._fold)
        return labels
