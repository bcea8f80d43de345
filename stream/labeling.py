"""PURE: the delayed join: impressions, clicks, dwells and feedback into labelled slates.

Two paths. A click leaves at once, as a revision of its own. Everything else waits for its turn in event
time: the watermark releases impressions, engagements and closings in one order, however they arrived, so
that the same log gives the same labels whatever the batch boundaries, the order of arrival (within the
lateness), or restarts.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sized
from typing import TypeAlias

from schemas.events import Click, Dwell, Feedback, Impression, UserEvent
from schemas.labels import LabeledSlate, Session
from schemas.opinions import value
from stream.agenda import CLICK, CLOSE, DWELL, EXPIRE, FEEDBACK, IMPRESSION, SEAL, Agenda, Due
from stream.estimates import Estimates
from stream.evidence import Evidence
from stream.feedback_slates import label_feedback
from stream.join_settings import JoinSettings
from stream.outcomes import trust_in
from stream.sessions import asking
from stream.slates import MOST_STRAYS, Durations, Slate, close, correct, engage, pass_over, teach, tell_click
from stream.verdicts import revoke

SessionOf: TypeAlias = Callable[[str, int, str], Session]
"""(user_id, ts, request_id) → what was known of the user before ts, less what they did in that request."""

ShownAt: TypeAlias = Callable[[str, str], list[int]]
"""(user_id, request_id) → when the user was shown that slate, as far back as four windows ago.

Of what a predecessor has done with, this alone is known.
"""

_TIMERS = (SEAL, EXPIRE)


class Labeler:
    """The join of one partition. Each slate ends in one final revision; what comes later corrects it.

    slates: by request id, from arrival until forgotten.
    agenda: what the watermark has not reached.
    forgets: (ts, request id) of the slates whose impression had its turn, in that order.
    newest: the open slate of a user on a surface.
    waiting: clicks by request id whose impression has not arrived, to be told when it does.
    early: what had its turn, by request id, before the impression had its own.
    unsealed: epochs whose sealing is due.
    late: how many events came after one that is newer.
    """

    def __init__(
        self,
        settings: JoinSettings,
        session_of: SessionOf,
        shown_at: ShownAt,
        durations: Durations,
        evidence: Evidence[Estimates],
    ) -> None:
        self._settings = settings
        self._rules = settings.rules
        self._learns = settings.rules.learns
        self._is_quick = "quick" in settings.rules.refinements
        self._longest_ms = settings.longest_ms
        self._session_of = session_of
        self._shown_at = shown_at
        self._durations = durations
        self._evidence = evidence
        self._slates: dict[str, Slate] = {}
        self._agenda = Agenda()
        self._forgets: deque[tuple[int, str]] = deque()
        self._newest: dict[tuple[str, str], str] = {}
        self._waiting: defaultdict[str, list[Click]] = defaultdict(list)
        self._early: defaultdict[str, list[Due]] = defaultdict(list)
        self._unsealed: set[int] = set()
        self._newest_ts = self._late = self._told_ts = 0
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many things are remembered; 0 once all is forgotten."""
        held: tuple[Sized, ...] = self._slates, self._agenda, self._newest, self._waiting, self._early
        return sum(map(len, held))

    def fold(self, event: UserEvent) -> list[LabeledSlate]:
        """Take one event, not seen before; return the labels known at once."""
        if event.ts >= self._newest_ts:
            self._newest_ts = event.ts
        else:
            self._late += 1
        # Records have no heirs, and `isinstance` takes three times as long to say no.
        if type(event) is Impression:
            return self._arrive(event)
        if type(event) is Click:
            of = event.event_id, event.request_id, event.item_id, "click", 0.0
            self._agenda.add((event.ts, CLICK, *of, event.user_id))
            return self._tell(event)
        if type(event) is Dwell:
            of = event.event_id, event.request_id, event.item_id, "dwell", event.dwell_ms
            self._agenda.add((event.ts, DWELL, *of, event.user_id))
        elif type(event) is Feedback:
            of = event.event_id, event.request_id or "", event.item_id, event.kind, value(event)
            self._agenda.add((event.ts, FEEDBACK, *of, event.user_id))
        return []

    def advance(self, watermark: int) -> list[LabeledSlate]:
        """Do all that is due before `watermark`, in order; return the labels that this makes final."""
        labels: list[LabeledSlate] = []
        forgets = self._forgets
        for due in self._agenda.before(watermark):
            if forgets and forgets[0][0] <= due[0]:
                self._forget(due[0])
            if due[1] in _TIMERS:
                labels += self._seal(due[0]) if due[1] == SEAL else self._expire(due[0], due[3])
                continue
            label = self._turn(due)
            if label is not None:
                labels.append(label)
        self._forget(watermark)
        return labels

    def _arrive(self, impression: Impression) -> list[LabeledSlate]:
        request_id = impression.request_id
        if request_id in self._slates or self._was_shown_before(impression):
            self.counts["repeated_impressions"] += 1
            return []
        self._slates[request_id] = Slate(impression)
        self._agenda.add((impression.ts, IMPRESSION, impression.event_id, request_id, "", "", 0, ""))
        if request_id not in self._waiting:
            return []
        return [label for click in self._waiting.pop(request_id) for label in self._tell(click)]

    def _was_shown_before(self, impression: Impression) -> bool:
        """Whether the slate of that request was forgotten not long ago, or done with by a predecessor."""
        times = self._shown_at(impression.user_id, impression.request_id)
        if len(times) < 2:  # as nearly always: this time itself
            return False
        return any(0 < impression.ts - at < 4 * self._longest_ms for at in times)

    def _tell(self, click: Click) -> list[LabeledSlate]:
        slate = self._slates.get(click.request_id)
        if slate is None:
            self._waiting[click.request_id].append(click)
            return []
        if click.user_id != slate.impression.user_id:
            return []  # nobody clicks on another's slate
        if not -self._longest_ms < click.ts - slate.impression.ts < 2 * self._longest_ms:
            return []  # in its turn, the one of the two that was first will be forgotten
        if slate.glimpse is None:
            slate.glimpse = slate.session or self._session(slate.impression)
            slate.glimpsed = self._late
        label = tell_click(slate, click, slate.glimpse, self._rules, self._evidence.at(click.ts))
        return [] if label is None else [label]

    def _turn(self, due: Due) -> LabeledSlate | None:
        """Do one thing in its turn; `slates` may know an impression whose own turn has not come."""
        ts, rank, request_id = due[0], due[1], due[3]
        if not request_id:
            return self._hear(due)
        slate = self._slates.get(request_id)
        if slate is None or (slate.session is None and rank > IMPRESSION):
            if rank != CLOSE:  # an old timer finds nothing
                self._keep_early(due)
            return None
        if rank == CLOSE:
            return self._close(slate, ts)
        return self._open(slate) if rank == IMPRESSION else self._engage(slate, due)

    def _open(self, slate: Slate) -> LabeledSlate | None:
        """Fix the session, all of which has arrived, and close the slate that this one replaces."""
        shown = slate.impression
        ts, request_id = shown.ts, shown.request_id
        # Nothing older came since the glimpse: it has all that is known before the impression.
        is_exact = slate.glimpse is not None and slate.glimpsed == self._late
        slate.session = slate.glimpse if is_exact else self._session(shown)
        if request_id in self._early:
            for due in self._early.pop(request_id):
                self._agenda.add((max(due[0], ts), *due[1:]))
        self._forgets.append((ts + 2 * self._longest_ms, request_id))
        self._await_seal(ts)
        window_ms = self._settings.window(shown.surface)
        key = slate.key
        previous = self._slates.get(self._newest.get(key, ""))
        if previous is not None and previous.impression.ts > ts:  # this one came too late
            self._agenda.remind(min(previous.impression.ts, ts + window_ms), CLOSE, request_id)
            return None
        self._newest[key] = request_id
        self._agenda.remind(ts + window_ms, CLOSE, request_id)
        return None if previous is None else self._close(previous, ts)

    def _session(self, shown: Impression) -> Session:
        """What was known before the impression; with a query, if it has one."""
        return asking(self._session_of(shown.user_id, shown.ts, shown.request_id), shown.query)

    def _close(self, slate: Slate, ts: int) -> LabeledSlate | None:
        if slate.closed_ts is not None:
            return None
        key = slate.key
        if self._newest.get(key) == slate.impression.request_id:
            del self._newest[key]
        return close(slate, ts, self._durations, self._rules, self._evidence.at(ts))

    def _engage(self, slate: Slate, due: Due) -> LabeledSlate | None:
        ts, rank, _, _, item_id, kind, amount, user_id = due
        shown = slate.place(item_id)
        if shown is None or user_id != slate.impression.user_id:
            self.counts["off_slate" if shown is None else "other_user"] += 1
            if rank == CLICK and len(slate.strays) < MOST_STRAYS:
                slate.strays += (user_id,)
            return self._hear(due) if rank == FEEDBACK and user_id != slate.impression.user_id else None
        lowest = slate.lowest
        if not engage(slate, shown, ts, kind, amount):
            return None
        if slate.closed_ts is not None:
            self.counts["corrections"] += 1
            self.counts["late_clicks"] += rank == CLICK
            return correct(slate, shown, lowest, ts, self._durations, self._rules, self._evidence.at(ts))
        if rank == CLICK and self._is_quick:
            return pass_over(slate, shown, ts, self._rules, self._evidence.at(ts))
        return None

    def _hear(self, due: Due) -> LabeledSlate | None:
        """Tell of feedback that belongs to no slate of its user's, unless a predecessor did."""
        ts, *_, item_id, _, _, user_id = due
        if ts < self._told_ts:
            return None
        trust = trust_in(user_id, item_id, self._rules, self._evidence.at(ts))
        return label_feedback(due, self._session_of(user_id, ts, ""), trust)

    def _keep_early(self, due: Due) -> None:
        """Keep what came before its impression, by a window at most: clocks differ, and topics lag."""
        ts, _, _, request_id, *_ = due
        early = self._early[request_id]
        if not early:
            self._agenda.remind(ts + self._longest_ms, EXPIRE, request_id)
        early.append(due)

    def _expire(self, ts: int, request_id: str) -> list[LabeledSlate]:
        """Give up on what has waited for a window for an impression. An old timer finds nothing.

        What the user said of a slate that is over counts by itself.
        """
        labels = []
        until = ts - self._longest_ms
        waiting = [click for click in self._waiting.pop(request_id, []) if click.ts > until]
        if waiting:
            self._waiting[request_id] = waiting
        for due in sorted(self._early.pop(request_id, [])):
            if due[0] > until:
                self._keep_early(due)
            else:
                label = self._hear(due) if due[1] == FEEDBACK and self._is_of_old_slate(due) else None
                if label is None:
                    self.counts["orphans"] += 1
                else:
                    labels.append(label)
        return labels

    def _is_of_old_slate(self, due: Due) -> bool:
        """Whether something was done with a slate of the user's that was forgotten by then, not long ago.

        Of older ones it depends on when sessions are settled whether they are remembered.
        """
        times = self._shown_at(due[7], due[3])
        age = min((due[0] - at for at in times if at < due[0]), default=0)
        return 2 * self._longest_ms <= age < 3 * self._longest_ms

    def _forget(self, until: int) -> None:
        """Learn from the slates whose corrections are over, and let them go."""
        forgets = self._forgets
        while forgets and forgets[0][0] <= until:
            slate = self._slates.pop(forgets.popleft()[1])
            growing = self._evidence.growing(slate.impression.ts) if self._learns else None
            if growing is not None:
                used = self._evidence.at(slate.impression.ts if slate.closed_ts is None else slate.closed_ts)
                teach(slate, self._durations, self._rules, growing, used)

    def _await_seal(self, ts: int) -> None:
        """Seal the epoch of a slate as soon as all its slates are forgotten, if it teaches anything."""
        if not self._learns:
            return
        epoch = self._evidence.epoch(ts)
        if epoch not in self._unsealed and not self._evidence.is_sealed(ts):
            self._unsealed.add(epoch)
            self._agenda.remind(self._last_ts(epoch), SEAL)

    def _seal(self, last_ts: int) -> list[LabeledSlate]:
        """Seal an epoch; returns what its slates taught to take back."""
        epoch = self._evidence.epoch(last_ts - 2 * self._longest_ms)
        self._unsealed.discard(epoch)
        growing = self._evidence.growing(self._evidence.end(epoch) - 1)
        if growing is None:
            return []
        self._evidence.seal(epoch)
        return [revoke(told, last_ts) for told in growing.trust.taken_back]

    def take_over(self, told_ts: int) -> None:
        """Go on after a predecessor, which has told all labels of what was shown or said before `told_ts`."""
        self._told_ts = told_ts

    def _last_ts(self, epoch: int) -> int:
        """When all slates of an epoch are forgotten."""
        return self._evidence.end(epoch) + 2 * self._longest_ms - 1
