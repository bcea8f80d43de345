"""What goes together: counted as it comes, copied without harm, restored whole."""

import numpy as np
import pytest

from learner.affinities import LIKES, NEIGHBOURS, TABLES, TOUCHED, Affinities, Engagement

DAY_MS = 86_400_000


def engagement(row: int, *recent: int, ts: int = 0, satisfaction: float = 1.0) -> Engagement:
    """All of `recent` were liked."""
    rows = np.array(recent, np.int32)
    return Engagement(row, ts, satisfaction, rows, np.ones(len(rows), np.bool_))


def near(affinities: Affinities, row: int) -> list[float]:
    return affinities.near(np.array([row], np.int32), np.array([True]), 6).liked.tolist()


def test_what_lies_further_back_counts_less() -> None:
    affinities = Affinities(8)
    affinities.fold(engagement(1, 2, 3))
    assert near(affinities, 1)[2] > near(affinities, 1)[3] > near(affinities, 1)[4] == 0
    assert near(affinities, 3)[1] > 0  # a pair is known from both sides


def test_a_disliked_item_goes_with_what_was_touched_not_with_what_was_liked() -> None:
    affinities = Affinities(8)
    affinities.fold(engagement(1, 2, satisfaction=0.2))
    session = affinities.near(np.array([2], np.int32), np.array([True]), 6)
    assert session.liked[1] == 0 < session.touched[1]
    assert affinities.counts[1, [TOUCHED, LIKES]].tolist() == [1, 0]


def test_popularity_fades_at_every_speed() -> None:
    affinities = Affinities(8)
    affinities.fold(engagement(1, ts=0))
    fresh, old = (affinities.popularity(np.array([1]), ts)[0] for ts in (0, 30 * DAY_MS))
    assert fresh.tolist() == [1, 1, 1, 1]
    assert old == pytest.approx(np.exp([-30, -30 / 7, -1, -30 / 365]), abs=1e-5)


@pytest.mark.parametrize("changing", [0, 1])
def test_a_copy_and_what_it_is_of_change_apart(changing: int) -> None:
    affinities = Affinities(8)
    affinities.fold(engagement(1, 2))
    both = (affinities, affinities.copy())
    changed, kept = both[changing], both[1 - changing]
    before = near(kept, 2)
    changed.fold(engagement(1, 2))
    changed.fold(engagement(3, 2))
    assert near(kept, 2) == before != near(changed, 2)
    assert kept.counts[1, TOUCHED] == 1


def test_nothing_is_left_of_what_is_forgotten_however_many_neighbours_it_had() -> None:
    affinities = Affinities(1_000)
    for start in range(2, 902, 20):  # 900 others, of which it keeps the NEIGHBOURS it was nearest to
        affinities.fold(engagement(1, *range(start, start + 20)))
    affinities.fold(engagement(950, 951))
    kept = affinities.copy()
    affinities.forget(np.array([1, 951]))
    for table in TABLES:
        left, before = (one.snapshot() for one in (affinities, kept))
        pairs = np.stack([before[f"{table}.owner"], before[f"{table}.row"]], axis=1)
        expected = pairs[~np.isin(pairs, [1, 951]).any(1)]
        assert np.array_equal(np.stack([left[f"{table}.owner"], left[f"{table}.row"]], axis=1), expected)
        assert len(pairs) > NEIGHBOURS + 900


def test_restoring_is_as_if_nothing_had_happened() -> None:
    rng = np.random.default_rng(0)
    made = [engagement(*rng.choice(np.arange(1, 8), 4, replace=False), ts=n) for n in range(40)]
    whole, first, resumed = Affinities(8), Affinities(8), Affinities(8)
    for one in made[:20]:
        first.fold(one)
    resumed.restore(first.snapshot())
    for one in made:
        whole.fold(one)
    for one in made[20:]:
        resumed.fold(one)
    expected, actual = whole.snapshot(), resumed.snapshot()
    assert expected.keys() == actual.keys()
    session, liked = np.array([1, 2], np.int32), np.array([True, True])
    for found, wanted in zip(resumed.near(session, liked, 8), whole.near(session, liked, 8), strict=True):
        assert found == pytest.approx(wanted)
    assert resumed.popularity(np.arange(8), 50) == pytest.approx(whole.popularity(np.arange(8), 50))


def test_a_restored_one_knows_who_may_have_lost_a_neighbour() -> None:
    affinities, resumed = Affinities(1_000), Affinities(1_000)
    affinities.fold(engagement(2, 1))  # the first to give way, and still names its neighbour
    for other in range(3, 3 + NEIGHBOURS):
        for _ in range(2):
            affinities.fold(engagement(other, 1))
    affinities.forget(np.array([3]))  # there is one neighbour less than too many
    resumed.restore(affinities.snapshot())
    for one in (affinities, resumed):
        one.forget(np.array([1]))
        assert near(one, 2)[1] == 0
