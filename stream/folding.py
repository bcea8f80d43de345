"""PURE: one partition's whole fold: deduplication, sessions, the delayed join, and what may be acknowledged.

The Faust worker and the offline commands call this same object; only the mapping of sessions differs.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, MutableMapping
from typing import Generic, TypeVar

from schemas.events import Dwell, Impression, Search, UserEvent
from schemas.labels import LabeledSlate, Session
from stream import sessions as session
from stream.dedup import Seen
from stream.estimates import Estimates
from stream.evidence import Evidence
from stream.expiry import Rounds
from stream.intent import Tags, untagged
from stream.join_settings import JoinSettings
from stream.labeling import Labeler
from stream.sessions import SessionState
from stream.slates import Durations
from stream.watermark import NOTHING, Watermark

Token = TypeVar("Token")

END = 2**62
"""A watermark after everything."""


class PartitionFold(Generic[Token]):
    """Events of one partition, from all its topics, into labels.

    Mutates the session states that the caller owns, in place. There is no snapshot of what is open: a
    successor is given the evidence that was taken, the sessions as they were and every message whose token
    was not done, and finds the same labels again.
    """

    def __init__(
        self,
        settings: JoinSettings,
        sessions: MutableMapping[str, SessionState],
        durations: Durations,
        tags: Tags = untagged,
    ) -> None:
        """Fold into `sessions` (user id → state).

        `durations` gives an item's length in ms, if known, `tags` what it is about.
        """
        self._tags = tags if "intent" in settings.rules.refinements else None
        self._settings = settings
        self._longest_ms, self._epoch_ms = settings.longest_ms, settings.epoch_ms
        self._sessions = sessions
        self._durations = durations
        self._evidence = Evidence(Estimates, settings.epoch_ms, settings.horizon_ms)
        self._labeler = Labeler(settings, self.session_of, self._shown_at, durations, self._evidence)
        self._watermark = Watermark(settings.lateness_ms)
        self._seen = Seen(settings.horizon_ms)
        self._tokens: defaultdict[int, list[Token]] = defaultdict(list)
        self._safe_ts = self._taken_ts = self._committed_ts = 0
        self._changed: set[str] = set()
        self._rounds: Rounds[str] = Rounds()

    def fold(
        self, event: UserEvent, topic: str, token: Token, now_ms: int, logged_ms: int = END
    ) -> list[LabeledSlate]:
        """Take one event; return the labels known at once, which are those of clicks.

        Args:
            event: an admitted event of this partition.
            topic: the unprefixed topic name, as `advance(unread)` knows it.
            token: opaque; comes back from `done_tokens` when the message may be acknowledged.
            now_ms: the wall clock; a constant offline.
            logged_ms: when the event was logged, if that is known: a device whose clock is fast moves
                nobody's time beyond it.
        """
        ts = event.ts
        self._watermark.observe(topic, ts if ts < logged_ms else logged_ms, now_ms)
        # What was done may belong to a slate that is shown up to a window later, by clocks that differ.
        needed_ts = ts if type(event) in (Impression, Search) else ts + self._longest_ms
        # What is late has its turn in the next advance, and is not done before it.
        span = (needed_ts if needed_ts > self._safe_ts else self._safe_ts) // self._epoch_ms
        self._tokens[span].append(token)
        if not self._seen.is_new(topic, event.event_id):
            self._labeler.counts["duplicates"] += 1
            return []
        self._remember(event)
        if ts < self._safe_ts and type(event) is Impression:
            self._labeler.counts["too_late"] += 1
            return []
        return self._labeler.fold(event)

    def advance(
        self, now_ms: int, unread: Collection[str] = (), ended: Mapping[str, int] = NOTHING
    ) -> list[LabeledSlate]:
        """Return the labels that the watermark has made final; call it after every batch, and on a timer.

        Args:
            now_ms: the wall clock; a constant offline.
            unread: topics that may hold messages of this partition that were not folded yet.
            ended: when, by that clock, each of the others was last known to hold nothing more.
        """
        watermark = self._watermark.value(now_ms, unread, ended)
        return [] if watermark is None else self._advance(watermark)

    def drain(self) -> list[LabeledSlate]:
        """Return all remaining labels: the log has ended and nothing else will come."""
        return self._advance(END)

    def done_tokens(self) -> list[Token]:
        """Return, once each, the tokens of messages that may be acknowledged now.

        That is when their whole epoch is sealed: nothing that comes can change their labels any more, and
        all they teach is in the evidence, so that everything later than the oldest message which is not
        done can be folded again by itself. Take the evidence, and make it durable, before they are committed.
        """
        safe = self._safe_ts // self._epoch_ms
        spans = sorted(span for span in self._tokens if span < safe)
        return [token for span in spans for token in self._tokens.pop(span)]

    def take_evidence(self) -> bytes | None:
        """Return what a successor needs of the evidence, if that changed since the last call.

        Call it before every commit, and make it durable, as the sessions, before the commit; and not before
        all labels that were returned by now are: it says from which event time on a successor tells any.
        """
        # What was done at the last call is committed: sessions need not show moments before it.
        self._committed_ts, self._taken_ts = self._taken_ts, self._safe_ts
        return self._evidence.take(self._safe_ts)

    def let_go(self) -> None:
        """Do as `take_evidence` does where nobody will go on from it: forget what no label needs any more."""
        self._committed_ts = self._taken_ts = self._safe_ts
        self._evidence.let_go(self._safe_ts)

    @property
    def settled_ts(self) -> int:
        """No session of an earlier moment will be asked for any more, also by a successor."""
        return self._committed_ts

    def expire(self, number: int) -> None:
        """Look at the next users of the mapping of sessions, and forget those who are long gone."""
        for user_id in self._rounds.expired(self._sessions, self._newest_ts, self._committed_ts, number):
            del self._sessions[user_id]

    def _newest_ts(self, user_id: str) -> int | None:
        state = self._sessions.get(user_id)
        return None if state is None or state.newest_ts == 0 else state.newest_ts

    def restore_evidence(self, raw: bytes) -> None:
        """Go on from the evidence that a predecessor took; before the first event is folded."""
        self._safe_ts = self._evidence.restore(raw)
        self._labeler.take_over(self._safe_ts)

    def session_of(self, user_id: str, ts: int, request_id: str | None = None) -> Session:
        """Return what is known of a user strictly before `ts`, leaving out what they did in a request."""
        state = self._sessions.get(user_id)
        return Session() if state is None else session.as_of(state, ts, request_id, self._tags)

    def _shown_at(self, user_id: str, request_id: str) -> list[int]:
        state = self._sessions.get(user_id)
        return [] if state is None else session.shown_at(state, request_id)

    def take_changed(self) -> set[str]:
        """Return the users whose session changed since the last call, to be written once per batch."""
        changed, self._changed = self._changed, set()
        return changed

    @property
    def counts(self) -> dict[str, int]:
        """Totals so far, of those that are not 0.

        duplicates, repeated_impressions, too_late (impressions of a time whose labels are all told), orphans
        (no impression came), off_slate (an item not shown), other_user (a slate shown to somebody else),
        corrections, late_clicks.
        """
        return dict(self._labeler.counts)

    def _advance(self, watermark: int) -> list[LabeledSlate]:
        self._seen.advance(watermark)
        self._safe_ts = max(self._safe_ts, self._settings.safe_ts(watermark))
        return self._labeler.advance(watermark)

    def _remember(self, event: UserEvent) -> None:
        state = self._sessions.get(event.user_id)
        if state is None:
            state = self._sessions[event.user_id] = SessionState()
        duration_ms = self._durations(event.item_id) if type(event) is Dwell else None
        # Of what was done up to a window before an impression it must be known whether it belongs to it.
        settle_before = self._committed_ts - self._longest_ms
        session.fold(state, event, duration_ms, settle_before, self._tags, remember_ms=self._longest_ms)
        self._changed.add(event.user_id)
