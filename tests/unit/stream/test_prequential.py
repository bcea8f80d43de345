"""No arm is ever asked with what it cannot have known, and every metric is of what was really answered."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import pytest

from learner.query import TASKS, Query
from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from stream.prequential.exams import Answers, Examiner, NextItemExam, SlateExam
from stream.prequential.harness import Contender, Course, Prequential, warm_up
from stream.prequential.observer import Observer
from stream.prequential.report import report
from tests.makers import click, dwell, feedback, impression

SECOND = 1_000


class Recorder:
    """An arm that writes down what it is given, and scores by a rule of its item ids."""

    published_bytes: Sequence[int] = (100, 300, 200)
    trained_parameters = 3

    def __init__(self, good: str = "") -> None:
        self.good = good
        self.diary: list[tuple[str, object]] = []

    def score(self, queries: Sequence[Query]) -> list[np.ndarray]:
        self.diary += [("score", query) for query in queries]
        return [
            np.array([[0.9 if item in self.good else 0.2] * len(TASKS) for item in query.candidates])
            for query in queries
        ]

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        self.diary += [("learn", slate) for slate in slates]

    def publish(self) -> None:
        self.diary.append(("publish", None))

    def serving(self) -> "Recorder":
        copy = Recorder(self.good)
        copy.diary = list(self.diary)
        return copy

    def of(self, kind: str) -> list:
        return [what for what_kind, what in self.diary if what_kind == kind]


@dataclass
class Served:
    """What one copy knew when it was made, and when it was asked."""

    knows: list[str]
    asked: list[int] = field(default_factory=list)

    def score(self, queries: Sequence[Query]) -> list[np.ndarray]:
        self.asked += [query.ts for query in queries]
        return [np.full((len(query.candidates), len(TASKS)), 0.5) for query in queries]


class Spy(Recorder):
    """An arm that keeps every copy of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[Served] = []

    def serving(self) -> Served:
        self.served.append(Served([label.label_id for label in self.of("learn")]))
        return self.served[-1]


def course(
    arm: Recorder, *intervals: int | None, name: str = "arm0", answers: Answers | None = None
) -> Course:
    seconds = count()
    contenders = [
        Contender(name if len(intervals) == 1 else f"{name}@{every}", every, Answers(seed=0))
        for every in intervals
    ]
    return Course(arm, contenders, lambda: float(next(seconds)))


def known_when_asked(arm: Recorder) -> Iterator[tuple[int, list[str]]]:
    known: list[str] = []
    for kind, what in arm.diary:
        if kind == "learn":
            known.append(what.label_id)
        elif kind == "score":
            yield what.ts, list(known)


def sit(events: Iterable[UserEvent], *courses: Course, until: int = 0) -> Prequential:
    events = sorted(events, key=lambda event: event.ts)
    observer, examiner = Observer(lambda _: None), Examiner()
    warm_up((event for event in events if event.ts < until), observer, examiner)
    trial = Prequential(observer, examiner, courses)
    trial.run(event for event in events if event.ts >= until)
    return trial


def evaluate(
    events: Iterable[UserEvent], *arms: Recorder, every: int | None = SECOND, until: int = 0
) -> Prequential:
    return sit(events, *(course(arm, every, name=f"arm{n}") for n, arm in enumerate(arms)), until=until)


def busy_log(seed: int) -> list[UserEvent]:
    """Slates, clicks and dwells of several users, some at the very same millisecond."""
    rng = np.random.default_rng(seed)
    events: list[UserEvent] = []
    for n in range(300):
        ts, user = int(rng.integers(0, 400)) * 500, f"u{rng.integers(5)}"
        events.append(impression(f"r{n}", ts, "abcdef"[int(rng.integers(6))], user_id=user))
        item = events[-1].items[0].item_id
        if rng.random() < 0.5:
            events.append(click(f"r{n}", ts + int(rng.integers(0, 3)) * 500, item, user_id=user))
        if rng.random() < 0.5:
            events.append(dwell(f"r{n}", ts + int(rng.integers(0, 9_000)), 5_000, item, user_id=user))
    return events


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("every", [1, 500, SECOND, 60 * SECOND])
def test_nothing_observed_at_or_after_a_query_is_learned_before_it(seed: int, every: int) -> None:
    arm = Recorder()
    evaluate(busy_log(seed), arm, every=every)
    newest = -1
    for kind, what in arm.diary:
        if kind == "learn":
            newest = max(newest, what.observed_ts, what.ts)
        elif kind == "score":
            assert newest < what.ts
    assert arm.of("learn")


@pytest.mark.parametrize("every", [500, SECOND, 60 * SECOND])
def test_a_version_holds_only_what_came_before_its_interval(every: int) -> None:
    arm = Recorder()
    evaluate(busy_log(0), arm, every=every)
    newest = -1
    for kind, what in arm.diary:
        if kind == "learn":
            newest = max(newest, what.observed_ts)
        elif kind == "score":
            assert newest < what.ts // every * every


@pytest.mark.parametrize("seed", range(3))
def test_a_query_knows_of_its_user_only_what_came_before_it(seed: int) -> None:
    events = busy_log(seed)
    arm = Recorder()
    evaluate(events, arm)
    for query in arm.of("score"):
        clicks = [
            e
            for e in events
            if type(e).__name__ == "Click" and e.user_id == query.user_id and e.ts < query.ts
        ]
        assert query.session.counters.get("clicks", 0) == len(clicks)
        assert all(item.age_s > 0 for item in query.session.recent)


def test_equal_times_are_scored_before_they_are_learned() -> None:
    arm = Recorder()
    events = [impression("r1", 5_000, "a"), click("r1", 5_000), impression("r2", 5_000, "b", user_id="v")]
    evaluate([*events, impression("r3", 9_000, "c")], arm)
    assert [kind for kind, _ in arm.diary] == ["score", "score", "learn", "publish", "score"]


def test_every_arm_is_asked_and_taught_the_same() -> None:
    one, other = Recorder(), Recorder("abc")
    evaluate(busy_log(1), one, other)
    assert one.diary == other.diary


def test_publishing_never_teaches_nothing() -> None:
    arm = Recorder()
    trial = evaluate(busy_log(1), arm, every=None)
    assert {kind for kind, _ in arm.diary} == {"score"}
    assert len(trial.exams) == 300


def test_the_warm_up_is_not_scored_but_is_remembered() -> None:
    arm = Recorder()
    log = [impression("r1", 1_000, "a"), click("r1", 2_000), impression("r2", 900_000, "b")]
    trial = evaluate(log, arm, until=10_000)
    assert [exam.query.ts for exam in trial.exams] == [900_000]
    assert trial.exams[0].query.session.counters["clicks"] == 1


def test_truth_counts_however_late_it_came() -> None:
    arm = Recorder(good="a")
    log = [impression("r1", 0, "ab"), click("r1", 3_000_000), dwell("r1", 4_000_000, 18_000, "b")]
    results = report(evaluate(log, arm), lambda _: None, seen=0)
    assert results["examples"] == {"impressions": 2, "next_items": 0}
    assert results["arms"]["arm0"]["auc"] == {"click": 1.0, "long_view": 0.0}


def test_a_next_item_is_ranked_among_what_was_seen_and_not_rated() -> None:
    arm = Recorder(good="b")
    ratings = [("a", "u", 5), ("b", "v", 4), ("c", "v", 2), ("b", "u", 4), ("d", "u", 5)]
    log = [
        feedback("rating", n * SECOND, item, user, value=v, event_id=f"{n}")
        for n, (item, user, v) in enumerate(ratings)
    ]
    trial = evaluate(log, arm)
    exams = [exam for exam in trial.exams if isinstance(exam, NextItemExam)]
    assert [list(exam.query.candidates) for exam in exams] == [["a"], ["a", "b", "c"], ["a", "b", "c"]]
    assert [exam.target for exam in exams] == [None, 1, None]
    assert [exam.rated.tolist() for exam in exams] == [[], [0], [0, 1]]
    assert trial.courses[0].contenders[0].answers.ranks == [float("inf"), 1.0, float("inf")]
    assert all(exam.cold for exam in exams)


def test_an_impression_that_is_logged_twice_is_asked_once_and_before_its_click_is_learned() -> None:
    log = [impression("r", 0), click("r", 500), impression("r", 5 * SECOND), impression("s", 5 * SECOND)]
    trial = evaluate(log, Recorder())
    assert [exam.request_id for exam in trial.exams if isinstance(exam, SlateExam)] == ["r", "s"]


def test_a_film_rated_again_is_no_next_item() -> None:
    log = [feedback("rating", n * SECOND, "a", value=5, event_id=f"{n}") for n in range(2)]
    assert not evaluate(log, Recorder()).exams


def test_the_sixth_earlier_rating_ends_the_cold() -> None:
    log = [feedback("rating", n * SECOND, "a", f"u{n}", value=5, event_id=f"{n}") for n in range(8)]
    cold = [exam.cold for exam in evaluate(log, Recorder()).exams if isinstance(exam, NextItemExam)]
    assert cold == [True] * 5 + [False] * 2


class TestSeveralIntervals:
    """One arm, trained once: what is old is what is served."""

    INTERVALS = (500, 7 * SECOND, 60 * SECOND, None)

    def test_the_arm_learns_as_it_does_alone(self) -> None:
        alone, together = Recorder(), Recorder()
        evaluate(busy_log(4), alone, every=500)
        sit(busy_log(4), course(together, *self.INTERVALS))
        assert together.of("learn") == alone.of("learn")
        assert together.of("score") == alone.of("score")

    def test_a_copy_knows_what_an_arm_alone_at_its_interval_knows(self) -> None:
        spy, alone, every = Spy(), Recorder(), 7 * SECOND
        sit(busy_log(4), course(spy, 500, every))
        evaluate(busy_log(4), alone, every=every)
        asked = [(ts, served.knows) for served in spy.served for ts in served.asked]
        assert asked == list(known_when_asked(alone))

    def test_an_interval_that_is_no_multiple_of_the_shortest_adds_nothing_to_it(self) -> None:
        spy, alone = Spy(), Recorder()
        sit(busy_log(4), course(spy, 7 * SECOND, 9 * SECOND))
        evaluate(busy_log(4), alone, every=7 * SECOND)
        known = {(ts, *served.knows) for served in spy.served for ts in served.asked}
        assert {(ts, *knows) for ts, knows in known_when_asked(alone)} <= known

    def test_fewer_versions_are_made_of_longer_intervals(self) -> None:
        trial = sit(busy_log(4), course(Recorder(), *self.INTERVALS))
        versions = [contender.versions for contender in trial.courses[0].contenders]
        assert versions == sorted(versions, reverse=True)
        assert versions[-1] == 0

    def test_a_version_that_nobody_asks_is_not_made(self) -> None:
        arm = Recorder()
        clicks = [click("r1", n * SECOND, item) for n, item in enumerate("abc", start=1)]
        log = [impression("r1", 0, "abc"), *clicks, impression("r2", 60_000)]
        evaluate(log, arm)
        assert [kind for kind, _ in arm.diary] == ["score", *["learn"] * 3, "publish", "score"]


class TestReport:
    def results(self) -> dict:
        trial = evaluate(busy_log(2), Recorder("abc"), Recorder("a"))
        return report(trial, lambda _: None, seen=0)

    def test_has_a_place_for_every_metric_and_none_where_it_does_not_apply(self) -> None:
        arm = self.results()["arms"]["arm0"]
        assert set(arm["auc"]) == set(arm["logloss"]) == {"click", "long_view"}
        assert arm["hr@10"] is arm["ndcg@10"] is arm["hr@10_cold"] is arm["coverage@10"] is None
        total = 200 * arm["versions"]
        assert arm["published_bytes"] == {"median": 200, "max": 300, "total": total, "measured": 3}
        assert arm["trained_parameters"] == 3
        assert arm["examples"] == 300
        assert arm["seconds_per_1000"] > 0

    def test_intervals_hold_their_value(self) -> None:
        arm = self.results()["arms"]["arm0"]
        low, high = arm["ci95"]["auc.click"]
        assert low < arm["auc"]["click"] < high

    def test_differences_are_of_the_values(self) -> None:
        results = self.results()
        first, second = (results["arms"][name]["logloss"]["click"] for name in ("arm0", "arm1"))
        difference = results["differences"]["arm0 - arm1"]["logloss.click"]
        assert difference["value"] == pytest.approx(first - second)
        assert difference["ci95"][0] < difference["value"] < difference["ci95"][1]

    def test_ratings_give_ranks_and_coverage(self) -> None:
        log = [
            feedback("rating", n * SECOND, "abcdefgh"[n % 8], f"u{n % 9}", value=5, event_id=f"{n}")
            for n in range(60)
        ]
        trial = evaluate(log, Recorder("abc"))
        arm = report(trial, lambda _: None, seen=8)["arms"]["arm0"]
        assert arm["auc"] == {"click": None, "long_view": None}
        assert 0 < arm["hr@10"] <= 1
        assert arm["coverage@10"] == 1.0
        assert not any(isinstance(exam, SlateExam) for exam in trial.exams)
