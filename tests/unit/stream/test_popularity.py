import numpy as np

from schemas.labels import LabeledSlate, Outcome, Session
from stream.popularity import Popularity

HALF_LIFE = 1_000


def label(item_id, ts, clicked=True, final=False, surface="home"):
    outcome = Outcome(item_id=item_id, position=0, clicked=clicked, final=final)
    return LabeledSlate(
        request_id="r", revision=0, user_id="u", ts=ts, observed_ts=ts, surface=surface,
        session=Session(), slate=[item_id], outcomes=[outcome],
    )  # fmt: skip


def test_a_click_is_counted_once_though_two_revisions_tell_of_it():
    popularity = Popularity()
    popularity.fold(label("a", 0))
    popularity.fold(label("a", 5, final=True))
    popularity.fold(label("b", 5, clicked=False, final=True))
    popularity.fold(label("c", 5, final=True, surface="feedback"))
    assert popularity.top(5) == ["c", "a"]
    assert popularity.score(["b", "a"]).tolist() == [0, 1]


def test_clicks_fade():
    popularity = Popularity(HALF_LIFE)
    for ts in (0, 0, 0, 2 * HALF_LIFE):
        popularity.fold(label("old" if ts == 0 else "new", ts))
    old, new = popularity.score(["old", "new"])
    assert old / new == 0.75
    assert popularity.top(1) == ["new"]


def test_years_pass_without_overflow_and_what_faded_is_forgotten():
    popularity = Popularity(HALF_LIFE)
    popularity.fold(label("old", 0))
    popularity.fold(label("fading", 10**9))
    popularity.fold(label("new", 10**9 + 41 * HALF_LIFE))
    popularity.fold(label("ancient", 0))
    assert popularity.top(3)[0] == "new"
    assert "old" not in popularity.top(3)
    assert np.isfinite(popularity.score(["new", "fading"])).all()


def test_resuming_equals_running_through():
    labels = [label(f"item-{n % 7}", n * 700) for n in range(100)]
    through = Popularity(HALF_LIFE)
    resumed = Popularity(HALF_LIFE)
    for number, one in enumerate(labels):
        through.fold(one)
        resumed.fold(one)
        if number == 40:
            resumed = Popularity.restore(resumed.snapshot())
    assert resumed.snapshot() == through.snapshot()
