"""PURE: the order of time. Nothing is scored by a version that had not been published by then."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from learner.arms import Arm
from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from stream.prequential.exams import Answers, Exam, Examiner, Truth
from stream.prequential.observer import Observer

_BATCH = 256
"""Exams are scored at most so many at a time: bounds the memory of whole-catalogue scores."""

Clock = Callable[[], float]
"""Seconds, monotone."""


@dataclass
class Contender:
    """An arm, what it answered, and the seconds that it took."""

    arm: Arm
    answers: Answers
    seconds: float = 0.0


def warm_up(events: Iterable[UserEvent], observer: Observer, examiner: Examiner) -> list[LabeledSlate]:
    """Take the events before the split; return their labels in the order in which they were observed."""
    slates: list[LabeledSlate] = []
    for event in events:
        slates += observer.observe(event)
        examiner.observe(event)
    return slates


class Prequential:
    """Scores each exam at its time with the version published before, then lets the arms learn.

    Arms publish at the multiples of `publish_every_ms` of event time. Between two of them everything is
    scored by the earlier version; then the arms learn what was observed before the later one, and publish.
    So equal times are scored before they are learned, and no label in a version was observed at or after the
    time of an exam that the version answers.
    """

    def __init__(
        self,
        observer: Observer,
        examiner: Examiner,
        arms: Mapping[str, Arm],
        publish_every_ms: int | None,
        seed: int,
        clock: Clock,
    ) -> None:
        """`publish_every_ms` None is never; `clock` measures the arms' seconds and decides nothing."""
        self.contenders = {name: Contender(arm, Answers(seed)) for name, arm in arms.items()}
        self.exams: list[Exam] = []
        self.truth = Truth()
        self._observer = observer
        self._examiner = examiner
        self._every = publish_every_ms
        self._clock = clock
        self._unscored: list[Exam] = []
        self._unlearned: list[LabeledSlate] = []
        self._turn: int | None = None

    def run(self, events: Iterable[UserEvent]) -> None:
        """Take the events after the split, in order of time."""
        for event in events:
            self._take(event)
        self._score()

    def _take(self, event: UserEvent) -> None:
        if self._every is not None and event.ts // self._every != self._turn:
            self._publish()
            self._turn = event.ts // self._every
        exam = self._examiner.exam(event, self._observer)
        if exam is not None:
            self._ask(exam)
        slates = self._observer.observe(event)
        self._examiner.observe(event)
        self.truth.observe(event)
        if self._every is not None:
            self._unlearned += slates

    def _ask(self, exam: Exam) -> None:
        self.exams.append(exam)
        self._unscored.append(exam)
        if len(self._unscored) >= _BATCH:
            self._score()

    def _score(self) -> None:
        exams, self._unscored = self._unscored, []
        if not exams:
            return
        queries = [exam.query for exam in exams]
        for contender in self.contenders.values():
            began = self._clock()
            scores = contender.arm.score(queries)
            contender.seconds += self._clock() - began
            contender.answers.add(exams, scores)

    def _publish(self) -> None:
        self._score()
        slates, self._unlearned = self._unlearned, []
        if not slates:
            return
        for contender in self.contenders.values():
            began = self._clock()
            contender.arm.learn(slates)
            contender.arm.publish()
            contender.seconds += self._clock() - began
