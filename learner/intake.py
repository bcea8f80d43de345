"""PURE: labelled slates → examples. Encodes with the counts of each one's moment, and only then counts it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learner.affinities import WINDOW, Engagement
from learner.batching import Example
from learner.counters import EXPECTED, SHOWN, Counters, Counts, Places
from learner.encoding import Encoded, Seen
from learner.knowledge import Knowledge
from learner.ledger import Ledger, Lessons, TrainingTarget
from learner.negatives import Drawn
from learner.query import TASKS, Query, query_of
from learner.ranking import is_ranking
from learner.rows import Vocabulary
from schemas.labels import LabeledSlate

_CLICK, _SATISFIED = TASKS.index("click"), TASKS.index("satisfied")

AT_ONCE: Final = 256
"""Labels encoded together: one pass of numpy costs as much for all of them as for a few."""


class _Noted(NamedTuple):
    """What else there is to an example than what it is encoded as."""

    targets: Sequence[TrainingTarget]
    rivals: Drawn
    taken: int


class Intake:
    """The one way from a label to an example: leave out what was learned before, encode, then count.

    A slate's own outcomes are never in the counts that its examples are encoded with: what an earlier
    revision counted is taken out first, or a click would foretell the satisfaction that follows it. What
    a label is encoded with is kept at its turn, and many are then encoded together.

    `given` are the rows that have a new owner, `recounted` those of which counts changed without an example.
    """

    def __init__(self, knowledge: Knowledge, ledger: Ledger, rng: np.random.Generator) -> None:
        """`rng` draws negatives where a label is a choice from the whole catalogue."""
        self._knowledge = knowledge
        self._vocabulary = knowledge.vocabulary
        self._encoder = knowledge.encoder
        self._counters = knowledge.counters
        self._ranking = knowledge.ranking
        self._rng = rng
        self.ledger = ledger
        self.given: dict[str, set[int]] = {name: set() for name in Vocabulary.CHANGING}
        self.recounted: dict[str, set[int]] = {name: set() for name in Counters.NAMES}
        self._now = 0
        self._seen: list[Seen] = []
        self._encoded: list[Encoded] = []

    def take(self, slates: Sequence[LabeledSlate]) -> list[Example | None]:
        """The examples of revisions, in order; None where nothing of one is new."""
        noted = [self._note(slate) for slate in slates]
        self._encode()
        encoded, self._encoded = iter(self._encoded), []
        return [None if one is None else _example(next(encoded), one) for one in noted]

    def _note(self, slate: LabeledSlate) -> _Noted | None:
        """See what a revision is to be encoded with, and then count it."""
        targets = self.ledger.admit(slate)
        if not targets:
            return None
        rows = self._admit(slate, targets)
        vector = self._knowledge.read(slate.session.query)
        context = self._encoder.context(slate.surface)
        places = self._encoder.places(context, rows)
        after = self._recount(targets, rows, context, places)
        if not any(any(target.weights) for target in targets):  # only less trusted than it was
            self._count(places, after)
            self._note_recounted(rows, context)
            return None
        query = query_of(slate, [target.item_id for target in targets])
        rivals = self._rivals(slate, query, rows) if _is_choice(slate, targets) else NOBODY
        self._see(query, vector, np.concatenate([rows, rivals.rows]) if len(rivals.rows) else rows)
        self._count(places, after)
        self._engage(slate, targets)
        return _Noted(targets, rivals, self._now)

    def _see(self, query: Query, vector: NDArray[np.float32] | None, rows: NDArray[np.int32]) -> None:
        self._seen.append(self._encoder.see(query, rows, vector))
        if len(self._seen) == AT_ONCE:
            self._encode()

    def _encode(self) -> None:
        """Encode what was seen; later it may no longer be what it was."""
        self._encoded += self._encoder.encode_seen(self._seen)
        self._seen.clear()

    def _recount(
        self, targets: Sequence[TrainingTarget], rows: NDArray[np.int32], context: int, places: Places
    ) -> Counts:
        """Take out what earlier revisions counted; returns what is to be counted instead, [n, WIDTH]."""
        before = _counts([target.before for target in targets])
        after = _counts([target.after for target in targets])
        told = bool(before.any())
        rate = self._counters.click_rate(context, without=before if told else None)
        after[:, EXPECTED] = after[:, SHOWN] * rate
        if told:
            before[:, EXPECTED] = before[:, SHOWN] * rate
            self._count(places, -before, items=-self._counted(rows, before))
        return after

    def _admit(self, slate: LabeledSlate, targets: Sequence[TrainingTarget]) -> NDArray[np.int32]:
        """Give rows to the ids of a label, and forget whom they are taken from; returns the targets'."""
        vocabulary = self._vocabulary
        self._now = vocabulary.tick()
        recent = slate.session.recent[-self._encoder.length :]
        shown = [target.item_id for target in targets]
        rows = vocabulary.items.meet([*shown, *(item.item_id for item in recent)])
        self._encoder.context(slate.surface, admit=True)
        vocabulary.users.meet([slate.user_id])
        self.forget()
        return rows[: len(shown)]

    def _note_recounted(self, rows: NDArray[np.int32], context: int) -> None:
        self.recounted["items"].update(rows.tolist())
        self.recounted["attributes"].update(self._encoder.attributes_of(rows).ravel().tolist())
        self.recounted["contexts"].add(context)

    def forget(self) -> None:
        """Forget what was known of rows that have a new owner, and note them in `given`."""
        for index, rows in self._vocabulary.drain().items():
            if len(rows):
                self._encode()
                self._knowledge.forget(index, rows)
                self.given[index].update(rows.tolist())

    def _counted(self, rows: NDArray[np.int32], before: Counts) -> Counts:
        """What is still in the counts of these rows: a row may have got its owner since."""
        shown = self._counters.tables["items"][rows, SHOWN]
        return np.where((shown < before[:, SHOWN])[:, None], 0, before)

    def _rivals(self, slate: LabeledSlate, query: Query, chosen: NDArray[np.int32]) -> Drawn:
        """What the user might have chosen instead, of all that they are not known to have engaged with."""
        if self._ranking is None:
            return NOBODY
        user = self._vocabulary.users.lookup(slate.user_id)
        lately = self._encoder.lately(slate.session)
        engaged = np.concatenate([chosen, lately.rows, self._ranking.negatives.engaged(user)])
        return self._ranking.negatives.draw(self._encoder.suggest(query), engaged, self._rng)

    def _engage(self, slate: LabeledSlate, targets: Sequence[TrainingTarget]) -> None:
        """Let the ranking know of what was chosen, clicked or judged, after it was encoded."""
        if self._ranking is None:
            return
        lately = self._encoder.lately(slate.session)
        pleased = {outcome.item_id: outcome.satisfaction for outcome in slate.outcomes}
        user = self._vocabulary.users.lookup(slate.user_id)
        for target in targets:
            if is_ranking(slate) or target.targets[_CLICK] * target.weights[_CLICK]:
                row = self._vocabulary.items.lookup(target.item_id)
                satisfaction = pleased[target.item_id]
                self._ranking.fold(
                    user,
                    Engagement(
                        row=row,
                        ts=slate.ts,
                        satisfaction=1.0 if satisfaction is None else satisfaction,
                        recent=lately.rows[::-1][:WINDOW],
                        recent_liked=lately.liked[::-1][:WINDOW],
                    ),
                )

    def _count(self, places: Places, counts: Counts, items: Counts | None = None) -> None:
        """Add counts [n, WIDTH] of shown items wherever they count; to the items' own, maybe others."""
        each = counts
        if items is not None:
            each = np.repeat(counts[:, None], places.known.shape[1], axis=1)
            each[:, 1] = items
        self._counters.add(places, each)
        self._counters.totals += counts.sum(0)


NOBODY = Drawn(np.zeros(0, np.int32), np.zeros(0, np.float32))


def _is_choice(slate: LabeledSlate, targets: Sequence[TrainingTarget]) -> bool:
    return is_ranking(slate) and bool(targets[0].targets[_CLICK] * targets[0].weights[_CLICK])


def _example(encoded: Encoded, noted: _Noted) -> Example:
    """What there is to learn: rivals have no weight of their own, a log-probability instead."""
    targets, rivals, taken = noted

    def padded(values: Sequence[object], dtype: type) -> NDArray[Any]:
        own: NDArray[Any] = np.array(values, dtype)
        n = len(rivals.rows)
        return np.concatenate([own, np.zeros((n, *own.shape[1:]), dtype)]) if n else own

    return Example(
        encoded=encoded,
        positions=padded([target.position for target in targets], np.int32),
        targets=padded([target.targets for target in targets], np.float32),
        weights=padded([target.weights for target in targets], np.float32),
        log_q=rivals.log_q,
        taken=taken,
    )


def _counts(lessons: Sequence[Lessons]) -> Counts:
    """Exposures, clicks and satisfaction that are known and trusted, [n, WIDTH]; nothing expected yet."""
    return np.array([_counted(lesson) for lesson in lessons], np.float32)


def _counted(lesson: Lessons) -> tuple[float, float, float, float]:
    shown = lesson.trust * (lesson.weights[_CLICK] > 0)
    judged = lesson.trust * (lesson.weights[_SATISFIED] > 0)
    return shown, lesson.targets[_CLICK] * shown, lesson.targets[_SATISFIED] * judged, 0.0
