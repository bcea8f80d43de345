"""PURE: what each moment of a log is judged by: a shown slate, or the next item a user will like."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learner.evaluation import rank_of, top_k
from learner.query import TASKS, Query
from schemas.events import Click, Dwell, Feedback, Impression, UserEvent
from schemas.opinions import is_liked
from stream.prequential.observer import Observer

CLICK, SATISFIED = TASKS.index("click"), TASKS.index("satisfied")
K = 10
COLD = 5
"""An item with at most so many earlier ratings is cold."""

Floats = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class SlateExam:
    """Protocol P1: foretell what will become of every item of a shown slate."""

    request_id: str
    query: Query


@dataclass(frozen=True, kw_only=True)
class NextItemExam:
    """Protocol P2: rank `target` among all items seen so far but those the user has rated.

    `target` and `rated` are indices into the query's candidates; `target` is None for an item never seen.
    """

    query: Query
    target: int | None
    rated: NDArray[np.intp]
    cold: bool


Exam = SlateExam | NextItemExam


class Examiner:
    """Sets the exams of a log; knows the catalogue only as far as it was seen."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._candidates: tuple[str, ...] = ()
        self._ratings: list[int] = []
        self._rated: dict[str, dict[int, None]] = {}
        self._shown: set[str] = set()

    @property
    def seen(self) -> int:
        """How many items could have been recommended so far."""
        return len(self._index)

    def exam(self, event: UserEvent, observer: Observer) -> Exam | None:
        """The exam that an event is, if it is one; to be asked before the event is observed.

        An impression that is in the log twice is one once: the second time, its clicks may have been learned.
        """
        if isinstance(event, Impression):
            return None if event.request_id in self._shown else _slate_exam(event, observer)
        if isinstance(event, Feedback) and event.request_id is None and is_liked(event):
            return self._next_item_exam(event, observer)
        return None

    def observe(self, event: UserEvent) -> None:
        """Let the catalogue grow by what the event shows."""
        if isinstance(event, Impression):
            self._shown.add(event.request_id)
        elif isinstance(event, Feedback) and event.request_id is None:
            index = self._index.setdefault(event.item_id, len(self._index))
            if index == len(self._ratings):
                self._ratings.append(0)
            self._ratings[index] += 1
            self._rated.setdefault(event.user_id, {})[index] = None

    def _next_item_exam(self, event: Feedback, observer: Observer) -> NextItemExam | None:
        target = self._index.get(event.item_id)
        rated = self._rated.get(event.user_id, {})
        if target in rated or not self._index:
            return None  # rated again, or nothing there yet to rank
        if len(self._candidates) < len(self._index):
            self._candidates = tuple(self._index)
        excluded = np.fromiter(rated, np.intp)
        query = Query(
            user_id=event.user_id,
            session=observer.session(event.user_id, event.ts),
            ts=event.ts,
            surface="feedback",
            candidates=self._candidates,
            excluded=excluded,
        )
        cold = target is None or self._ratings[target] <= COLD
        return NextItemExam(query=query, target=target, rated=excluded, cold=cold)


def _slate_exam(event: Impression, observer: Observer) -> SlateExam:
    query = Query(
        user_id=event.user_id,
        session=observer.session(event.user_id, event.ts, event.request_id),
        ts=event.ts,
        surface=event.surface,
        candidates=[shown.item_id for shown in event.items],
        context=event.context,
    )
    return SlateExam(request_id=event.request_id, query=query)


class Truth:
    """What became of shown items, however late: only the report reads it, never an arm."""

    def __init__(self) -> None:
        self._clicked: set[tuple[str, str]] = set()
        self._dwell_ms: dict[tuple[str, str], float] = {}

    def observe(self, event: UserEvent) -> None:
        """Take notice of a click or dwell."""
        if isinstance(event, Click):
            self._clicked.add((event.request_id, event.item_id))
        elif isinstance(event, Dwell):
            key = (event.request_id, event.item_id)
            self._dwell_ms[key] = max(event.dwell_ms, self._dwell_ms.get(key, 0.0))

    def clicked(self, request_id: str, item_id: str) -> bool:
        """Whether the item was ever clicked."""
        return (request_id, item_id) in self._clicked

    def dwell_ms(self, request_id: str, item_id: str) -> float:
        """The longest stay with the item; 0 if there was none."""
        return self._dwell_ms.get((request_id, item_id), 0.0)


class Answers:
    """One arm's answers: probabilities per shown item, and a rank per next item."""

    def __init__(self, seed: int) -> None:
        self.click: list[float] = []
        self.satisfied: list[float] = []
        self.ranks: list[float] = []
        self.recommended: set[int] = set()
        self._rng = np.random.default_rng(seed)

    def add(self, exams: Sequence[Exam], scores: Sequence[Floats]) -> None:
        """Keep of each exam's scores, [n_candidates, tasks], what the report needs."""
        for exam, score in zip(exams, scores, strict=True):
            if isinstance(exam, SlateExam):
                self.click.extend(score[:, CLICK].tolist())
                self.satisfied.extend(score[:, SATISFIED].tolist())
            else:
                self._add_next_item(exam, score[:, CLICK])

    def _add_next_item(self, exam: NextItemExam, score: Floats) -> None:
        allowed = np.array(score, np.float64)
        allowed[exam.rated] = -np.inf
        self.ranks.append(float("inf") if exam.target is None else rank_of(exam.target, allowed))
        top = top_k(allowed, K, self._rng)
        self.recommended.update(top[np.isfinite(allowed[top])].tolist())
