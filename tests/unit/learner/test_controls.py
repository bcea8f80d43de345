"""The contract of every arm that needs no base, and what each control is for."""

import numpy as np
import pytest

from learner.arms import ARMS, Arm, Start
from learner.controls import Popularity, SmoothedRates
from learner.cooccurrence import ItemKnn, Neighbours, recent_likes
from learner.query import TASKS, Query
from schemas.labels import LabeledSlate, Outcome, Session, SessionItem

CONTROLS = sorted(name for name, entry in ARMS.items() if not entry.needs_base)
DAY_MS = 86_400_000
CLICK, SATISFIED = TASKS.index("click"), TASKS.index("satisfied")


def label(request: str, item: str, clicked: bool, revision: int = 0, **more) -> LabeledSlate:
    """A slate of one item."""
    ts = more.pop("ts", 1_000)
    satisfaction = more.pop("satisfaction", None)
    outcome = Outcome(
        item_id=item, position=0, clicked=clicked, satisfaction=satisfaction, final=revision > 0
    )
    return LabeledSlate(
        request_id=request,
        revision=revision,
        user_id=more.pop("user", "u"),
        ts=ts,
        observed_ts=ts,
        session=more.pop("session", Session()),
        slate=[item],
        outcomes=[outcome],
        **more,
    )


def query(*items: str, user: str = "u", surface: str = "", session: Session | None = None) -> Query:
    return Query(user_id=user, session=session or Session(), ts=2_000, candidates=items, surface=surface)


def liked(*items: str) -> Session:
    return Session(recent=[SessionItem(item_id=item, action="click", age_s=1.0) for item in items])


def clicks(arm: Arm, *queries: Query) -> list[list[float]]:
    return [scores[:, CLICK].tolist() for scores in arm.score(queries)]


@pytest.mark.parametrize("name", CONTROLS)
class TestEveryControl:
    def start(self, name: str, slates: list[LabeledSlate]) -> Arm:
        return ARMS[name].make(Start(items=[], slates=slates, seed=0))

    def test_answers_every_query_with_probabilities(self, name: str) -> None:
        arm = self.start(name, [])
        for scores, count in zip(arm.score([query("a", "b"), query("c")]), (2, 1), strict=True):
            assert scores.shape == (count, len(TASKS))
            assert np.all((scores >= 0) & (scores <= 1))

    def test_learns_the_warm_up_and_the_stream_alike(self, name: str) -> None:
        slates = [label(f"r{n}", "ab"[n % 2], n % 2 == 0, session=liked("c")) for n in range(20)]
        warmed, online = self.start(name, slates), self.start(name, [])
        online.learn(slates[:7])
        online.learn(slates[7:])
        asked = query("a", "b", "c", "d", session=liked("c"))
        np.testing.assert_array_equal(warmed.score([asked])[0], online.score([asked])[0])

    def test_ranks_what_was_clicked_above_what_was_not(self, name: str) -> None:
        slates = [label(f"r{n}", "ab"[n % 2], n % 2 == 0, session=liked("c")) for n in range(20)]
        good, bad = clicks(self.start(name, slates), query("a", "b", session=liked("c")))[0]
        assert good > bad

    def test_counts_a_label_once_through_revisions_and_repeats(self, name: str) -> None:
        first = label("r", "a", True, session=liked("c"))
        final = label("r", "a", True, revision=1, session=liked("c"))
        once, again = self.start(name, [first]), self.start(name, [first, first, final, final])
        asked = query("a", "c", session=liked("c"))
        assert clicks(once, asked) == clicks(again, asked)

    def test_forgets_no_candidate_that_came_after_the_last_look(self, name: str) -> None:
        """Rows of shared candidates are kept between queries; learning must refresh them."""
        arm, candidates = self.start(name, [label("r0", "a", True, session=liked("c"))]), ("a", "b")
        asked = Query(user_id="u", session=liked("c"), ts=1, candidates=candidates)
        before = clicks(arm, asked)[0][1]
        arm.learn([label(f"r{n}", "b", True, session=liked("c")) for n in range(1, 9)])
        assert clicks(arm, asked)[0][1] > before


def test_rates_add_up_over_user_item_and_surface() -> None:
    arm = SmoothedRates()
    arm.learn([label(f"x{n}", f"i{n}", True, user=f"u{n}", surface="feed") for n in range(30)])
    arm.learn([label(f"y{n}", f"j{n}", False, user=f"v{n}", surface="ads") for n in range(30)])
    feed, ads, fan = clicks(
        arm,
        query("new", user="new", surface="feed"),
        query("new", user="new", surface="ads"),
        query("new", user="u1", surface="feed"),
    )
    assert fan[0] > feed[0] > 0.5 > ads[0]


def test_a_rate_of_satisfaction_counts_whole_attention_only() -> None:
    arm = SmoothedRates()
    arm.learn([label(f"r{n}", "half", True, revision=1, satisfaction=0.6) for n in range(20)])
    arm.learn([label(f"q{n}", "full", True, revision=1, satisfaction=1.0) for n in range(20)])
    half, full = arm.score([query("half", "full")])[0][:, SATISFIED]
    assert half < 0.4 < full


def test_popularity_forgets_what_left_its_window() -> None:
    arm = Popularity(days=(7,))
    arm.learn([label(f"r{n}", "old", True, ts=DAY_MS) for n in range(5)])
    arm.learn([label("q", "new", True, ts=9 * DAY_MS)])
    old, new = clicks(arm, query("old", "new"))[0]
    assert new > old


def test_popularity_takes_the_window_that_foretells_best() -> None:
    """An item of each day: only a short memory foretells the next click."""
    slates = [
        label(f"r{day}-{n}", f"item-{day // 20}", True, ts=day * DAY_MS)
        for day in range(100)
        for n in range(5)
    ]
    adaptive, short = Popularity(days=(7, 365)), Popularity(days=(7,))
    adaptive.learn(slates)
    short.learn(slates)
    asked = query("item-0", "item-3", "item-4")
    assert clicks(adaptive, asked) == clicks(short, asked)


def test_co_occurrence_ranks_what_was_liked_together() -> None:
    arm = ItemKnn()
    arm.learn([label(f"r{n}", "b", True, session=liked("a")) for n in range(3)])
    arm.learn([label(f"q{n}", "d", True, session=liked("c")) for n in range(3)])
    together, apart = clicks(arm, query("b", "d", session=liked("a")))[0]
    assert together > apart == 0


def test_nearer_likes_weigh_more() -> None:
    arm = ItemKnn()
    arm.learn([label("r", "c", True, session=liked("far", "near"))])
    near, far = clicks(arm, query("near", "far", session=liked("c")))[0]
    assert 0.85 * near / (1 - near) == pytest.approx(far / (1 - far))


def test_neighbours_are_bounded_and_the_weakest_gives_way() -> None:
    neighbours = Neighbours()
    for row, weight in ((1, 3.0), (2, 0.1), (3, 2.0), (4, 1.0)):
        neighbours.add(row, weight, capacity=3)
    kept = dict(zip(neighbours.rows.tolist(), neighbours.weights.tolist(), strict=True))
    assert {row for row in kept if row} == {1, 3, 4}


def test_a_low_rating_is_no_like() -> None:
    items = [
        SessionItem(item_id="bad", action="rating", satisfaction=0.4, age_s=2.0),
        SessionItem(item_id="good", action="rating", satisfaction=0.8, age_s=1.0),
    ]
    assert recent_likes(Session(recent=items)) == ["good"]
