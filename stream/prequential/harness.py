"""PURE: the order of time. Nothing is scored by a version that had not been published by then."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from learner.arms import Arm, Server
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
    """An arm at one publish interval: what was answered, and the seconds that it took.

    Runs of several seeds share one name. `every_ms` None is never: the version of the start answers all.
    `versions` counts those that somebody asked; a version that nobody asked is not made.
    """

    name: str
    every_ms: int | None
    answers: Answers
    seconds: float = 0.0
    versions: int = 0
    boundary: int = -1
    unscored: list[Exam] = field(default_factory=list)

    def reaches(self, ts: int) -> bool:
        """Whether a publish time has passed by `ts` that had not by the time of the exam before."""
        if self.every_ms is None:
            return False
        last, self.boundary = self.boundary, ts // self.every_ms * self.every_ms
        return self.boundary > last


class Course:
    """One arm, taught once, that is examined at one publish interval or several.

    Versions are published at the multiples of an interval of event time, but made only when somebody asks:
    all that was observed before the multiple is then learned at once. The first of several intervals must be
    the shortest; the arm itself answers for it, and copies of the arm, each as old as its interval, for the
    others. Where one of these is no multiple of the shortest, the arm also learns at times that are not the
    shortest's, and a copy answers for that, too. So they differ in what they serve and not in how they were
    trained, as in a system that trains all the time and sends its weights now and then.
    """

    def __init__(self, arm: Arm, contenders: Sequence[Contender], clock: Clock) -> None:
        """`clock` measures the seconds of learning and scoring, and decides nothing."""
        self.arm = arm
        self.contenders = contenders
        first = arm if _are_multiples([contender.every_ms for contender in contenders]) else arm.serving()
        self._servers: list[Server] = [first, *(arm.serving() for _ in contenders[1:])]
        self._copied = [0] * len(contenders)
        self._lessons = 0
        self._clock = clock
        self._taught = any(contender.every_ms is not None for contender in contenders)
        self._unlearned: list[tuple[int, LabeledSlate]] = []

    def tell(self, ts: int, slates: Sequence[LabeledSlate]) -> None:
        """Labels that became known by an event at `ts`."""
        if self._taught:
            self._unlearned += ((ts, slate) for slate in slates)

    def ask(self, exam: Exam) -> None:
        """Take an exam; it is answered by the versions of its time, if not at once."""
        due = [n for n, contender in enumerate(self.contenders) if contender.reaches(exam.query.ts)]
        # Earlier boundaries first: once the arm has learned more, no copy of it knows less.
        for n in sorted(due, key=lambda n: self.contenders[n].boundary):
            self._publish(n)
        for n, contender in enumerate(self.contenders):
            contender.unscored.append(exam)
            if len(contender.unscored) >= _BATCH:
                self._answer(n)

    def finish(self) -> None:
        """Answer what is left."""
        for n in range(len(self.contenders)):
            self._answer(n)

    def _publish(self, n: int) -> None:
        contender = self.contenders[n]
        self._learn_before(contender.boundary)
        if self._copied[n] == self._lessons:
            return
        self._copied[n] = self._lessons
        contender.versions += 1
        if self._servers[n] is not self.arm:
            self._answer(n)
            began = self._clock()
            self._servers[n] = self.arm.serving()
            contender.seconds += self._clock() - began

    def _learn_before(self, ts: int) -> None:
        known = next((i for i, (told, _) in enumerate(self._unlearned) if told >= ts), len(self._unlearned))
        if not known:
            return
        self._answer(0)
        slates = [slate for _, slate in self._unlearned[:known]]
        del self._unlearned[:known]
        began = self._clock()
        self.arm.learn(slates)
        self.arm.publish()
        self.contenders[0].seconds += self._clock() - began
        self._lessons += 1

    def _answer(self, n: int) -> None:
        contender = self.contenders[n]
        exams, contender.unscored = contender.unscored, []
        if not exams:
            return
        began = self._clock()
        scores = self._servers[n].score([exam.query for exam in exams])
        contender.seconds += self._clock() - began
        contender.answers.add(exams, scores)


def _are_multiples(intervals: Sequence[int | None]) -> bool:
    """Whether every interval, the shortest first, is a multiple of that one.

    >>> _are_multiples([2, 6, None]), _are_multiples([2, 3]), _are_multiples([None])
    (True, False, True)
    """
    shortest = intervals[0] or 1
    return all(interval % shortest == 0 for interval in intervals if interval is not None)


def warm_up(events: Iterable[UserEvent], observer: Observer, examiner: Examiner) -> list[LabeledSlate]:
    """Take the events before the split; return their labels in the order in which they were observed."""
    slates: list[LabeledSlate] = []
    for event in events:
        slates += observer.observe(event)
        examiner.observe(event)
    return slates


class Prequential:
    """One pass over the log: each exam is set to every course at its time, and then its labels are told.

    Equal times are scored before they are learned, and no label in a version was observed at or after the
    time of an exam that the version answers.
    """

    def __init__(self, observer: Observer, examiner: Examiner, courses: Sequence[Course]) -> None:
        self.courses = courses
        self.exams: list[Exam] = []
        self.truth = Truth()
        self._observer = observer
        self._examiner = examiner

    def run(self, events: Iterable[UserEvent]) -> None:
        """Take the events after the split, in order of time."""
        for event in events:
            self._take(event)
        for one in self.courses:
            one.finish()

    def _take(self, event: UserEvent) -> None:
        exam = self._examiner.exam(event, self._observer)
        if exam is not None:
            self.exams.append(exam)
            for one in self.courses:
                one.ask(exam)
        slates = self._observer.observe(event)
        self._examiner.observe(event)
        self.truth.observe(event)
        for one in self.courses:
            one.tell(event.ts, slates)
