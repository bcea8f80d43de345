"""PURE: the delayed join: impressions, clicks, dwells and feedback into labelled slates.

Two paths. A click leaves at once, as a revision of its own. Everything else waits for its turn in event
time: the watermark releases impressions, engagements and closings in one order, however they arrived, so
that the same log gives the same labels whatever the batch boundaries, the order across topics, or restarts
(as long as each topic is in order, and topics are apart by at most the lateness).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple, TypeAlias

import msgspec

from schemas.events import Click, Dwell, Feedback, Impression, Search, UserEvent
from schemas.labels import LabeledSlate, Session
from schemas.opinions import value
from stream.estimates import Estimates
from stream.evidence import Evidence
from stream.feedback_slates import label_feedback
from stream.slates import Durations, Slate, close, correct, engage, tell_click

SEAL, CLOSE, FORGET, EXPIRE, IMPRESSION, CLICK, DWELL, FEEDBACK = range(8)
"""Ranks: what comes first among equal times. A slate is closed before anything that happens at its end."""


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """How long a slate stays open, and how far out of order its events may come, in ms of event time."""

    window_ms: int = 600_000
    lateness_ms: int = 10_000

    @property
    def horizon_ms(self) -> int:
        """How long after its event time a message can still matter: until then it is not acknowledged.

        A window until its slate is final, another for corrections, and each with the lateness.
        """
        return 2 * (self.window_ms + self.lateness_ms)

    @property
    def epoch_ms(self) -> int:
        """The span of event time whose slates teach the labels together."""
        return self.window_ms

    def safe_ts(self, watermark: int) -> int:
        """The event time before which no message matters any more, in whole epochs.

        The lateness more: what was done may be stamped before the impression, by clocks that differ.
        """
        return (watermark - self.horizon_ms) // self.epoch_ms * self.epoch_ms - self.lateness_ms


SessionOf: TypeAlias = Callable[[str, int, str], Session]
"""(user_id, ts, request_id) → what was known of the user before ts, less what they did in that request."""


class Due(NamedTuple):
    """What is done in its turn of event time; tuples, so that the heap compares them in C."""

    ts: int
    rank: int
    event_id: str
    request_id: str
    item_id: str = ""
    kind: str = ""
    value: float = 0.0


class JoinState(msgspec.Struct):
    """All that a labeler remembers.

    slates: by request id, from arrival until forgotten.
    due: a heap of what the watermark has not reached.
    newest: the open slate of a user on a surface.
    waiting: clicks by request id whose impression has not arrived, to be told when it does.
    early: what had its turn, by request id, before the impression had its own.
    """

    slates: dict[str, Slate] = {}
    due: list[Due] = []
    newest: dict[tuple[str, str], str] = {}
    waiting: dict[str, list[Click]] = {}
    early: dict[str, list[Due]] = {}


class Labeler:
    """The join of one partition. Each slate ends in one final revision; what comes later corrects it."""

    def __init__(
        self,
        settings: JoinSettings,
        session_of: SessionOf,
        durations: Durations,
        evidence: Evidence[Estimates],
    ) -> None:
        self._window_ms = settings.window_ms
        self._evidence = evidence
        self._unsealed: set[int] = set()
        self._session_of = session_of
        self._durations = durations
        self._state = JoinState()
        self.counts: Counter[str] = Counter()

    def fold(self, event: UserEvent) -> list[LabeledSlate]:
        """Take one event, not seen before; return the labels known at once."""
        if isinstance(event, Impression):
            return self._arrive(event)
        if isinstance(event, Search):
            return []
        if isinstance(event, Feedback) and event.request_id is None:
            session = self._session_of(event.user_id, event.ts, "")
            return [label_feedback(event, session)]
        heappush(self._state.due, _due(event))
        return self._tell(event) if isinstance(event, Click) else []

    def advance(self, watermark: int) -> list[LabeledSlate]:
        """Do all that is due before `watermark`, in order; return the labels that this makes final."""
        due, labels = self._state.due, []
        now = (watermark, IMPRESSION)  # an event at the watermark may still come; a slate's end does not wait
        while due and due[0] < now:
            label = self._turn(heappop(due))
            if label is not None:
                labels.append(label)
        return labels

    def __len__(self) -> int:
        """How many things are remembered; 0 once all is forgotten."""
        state = self._state
        return sum(map(len, (state.slates, state.due, state.newest, state.waiting, state.early)))

    def _arrive(self, impression: Impression) -> list[LabeledSlate]:
        request_id = impression.request_id
        if request_id in self._state.slates:
            self.counts["repeated_impressions"] += 1
            return []
        self._state.slates[request_id] = Slate(impression)
        heappush(self._state.due, Due(impression.ts, IMPRESSION, impression.event_id, request_id))
        clicks = self._state.waiting.pop(request_id, [])
        return [label for click in clicks for label in self._tell(click)]

    def _tell(self, click: Click) -> list[LabeledSlate]:
        slate = self._state.slates.get(click.request_id)
        if slate is None:
            self._state.waiting.setdefault(click.request_id, []).append(click)
            return []
        if click.ts >= slate.impression.ts + 2 * self._window_ms:
            return []  # in its turn, the slate will be forgotten
        if slate.glimpse is None:
            slate.glimpse = slate.session or self._session(slate.impression)
        label = tell_click(slate, click, slate.glimpse)
        return [] if label is None else [label]

    def _turn(self, due: Due) -> LabeledSlate | None:
        """Do one thing in its turn; `slates` may know an impression whose own turn has not come."""
        slate = self._state.slates.get(due.request_id)
        if due.rank == SEAL:
            self._seal(self._evidence.epoch(due.ts - 2 * self._window_ms) - 1)
        elif due.rank == EXPIRE:
            self._expire(due.request_id)
        elif due.rank == FORGET:
            self._learn(self._state.slates.pop(due.request_id))
        elif slate is None or (due.rank > IMPRESSION and slate.session is None):
            self._keep_early(due)
        elif due.rank == CLOSE:
            return self._close(slate, due.ts)
        else:
            return self._open(slate) if due.rank == IMPRESSION else self._engage(slate, due)
        return None

    def _open(self, slate: Slate) -> LabeledSlate | None:
        """Fix the session, all of which has arrived, and close the slate that this one replaces."""
        shown, state = slate.impression, self._state
        slate.session = self._session(shown)
        for due in state.early.pop(shown.request_id, []):
            heappush(state.due, due)
        heappush(state.due, _timer(shown, FORGET, 2 * self._window_ms))
        self._await_seal(shown.ts)
        previous = state.slates.get(state.newest.get(slate.key, ""))
        if previous is not None and previous.impression.ts > shown.ts:  # this one came too late
            heappush(state.due, _timer(shown, CLOSE, min(previous.impression.ts - shown.ts, self._window_ms)))
            return None
        state.newest[slate.key] = shown.request_id
        heappush(state.due, _timer(shown, CLOSE, self._window_ms))
        return None if previous is None else self._close(previous, shown.ts)

    def _await_seal(self, ts: int) -> None:
        """Seal the epoch of a slate when all its slates are forgotten."""
        epoch = self._evidence.epoch(ts)
        if epoch not in self._unsealed and not self._evidence.is_sealed(ts):
            self._unsealed.add(epoch)
            heappush(self._state.due, Due(self._evidence.end(epoch) + 2 * self._window_ms, SEAL, "", ""))

    def _seal(self, epoch: int) -> None:
        self._unsealed.discard(epoch)
        self._evidence.seal(epoch)

    def _learn(self, slate: Slate) -> None:
        growing = self._evidence.growing(slate.impression.ts)
        if growing is not None:
            growing.fold(slate)

    def _session(self, shown: Impression) -> Session:
        """What was known before the impression; a query of its own is the newest of all."""
        session = self._session_of(shown.user_id, shown.ts, shown.request_id)
        return session if shown.query is None else msgspec.structs.replace(session, query=shown.query)

    def _close(self, slate: Slate, ts: int) -> LabeledSlate | None:
        if slate.closed_ts is not None:
            return None
        if self._state.newest.get(slate.key) == slate.impression.request_id:
            del self._state.newest[slate.key]
        return close(slate, ts, self._durations)

    def _engage(self, slate: Slate, due: Due) -> LabeledSlate | None:
        if not slate.shows(due.item_id):
            self.counts["off_slate"] += 1
            return None
        news = engage(slate, due.item_id, due.kind, due.value)
        if slate.closed_ts is None or not news:
            return None
        self.counts["corrections"] += 1
        return correct(slate, due.item_id, due.ts, self._durations)

    def _keep_early(self, due: Due) -> None:
        """Keep what came before its impression, by a window at most: clocks differ, and topics lag."""
        early = self._state.early.setdefault(due.request_id, [])
        if not early:
            heappush(self._state.due, Due(due.ts + self._window_ms, EXPIRE, "", due.request_id))
        early.append(due)

    def _expire(self, request_id: str) -> None:
        """Give up on an impression that never came. An old timer finds nothing."""
        orphans = self._state.early.pop(request_id, [])
        self.counts["orphans"] += len(orphans)
        self._state.waiting.pop(request_id, None)


def _timer(shown: Impression, rank: int, after_ms: int) -> Due:
    return Due(shown.ts + after_ms, rank, "", shown.request_id)


def _due(event: Click | Dwell | Feedback) -> Due:
    request_id = event.request_id or ""
    if isinstance(event, Click):
        return Due(event.ts, CLICK, event.event_id, request_id, event.item_id, "click")
    if isinstance(event, Dwell):
        return Due(event.ts, DWELL, event.event_id, request_id, event.item_id, "dwell", event.dwell_ms)
    return Due(event.ts, FEEDBACK, event.event_id, request_id, event.item_id, event.kind, value(event))
