import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.examination import ITEMS, POSITIONS, PRIOR_CURVE, SURFACES, Examination
from tests import planted

STEEP = [1 / (1 + position) for position in range(10)]
FLAT = [0.95**position for position in range(10)]

slates = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.sampled_from("abcde"), st.booleans(), st.none() | st.floats(0.001, 1)
        )
    ),
    max_size=60,
)


@pytest.mark.parametrize("n_items", [300, 1_500], ids=["remembered", "partly-forgotten"])
@pytest.mark.parametrize("curve", [STEEP, FLAT], ids=["steep", "flat"])
def test_finds_a_planted_curve_to_a_twentieth_although_good_items_are_put_first(curve, n_items):
    found = folded(planted.looked_at(curve, 15_000, n_items))
    assert seen(found, 10) == pytest.approx(curve, abs=0.05)


def test_click_rates_alone_would_be_far_off():
    slates = list(planted.looked_at(FLAT, 10_000))
    rates = np.mean([[clicked for _, _, clicked, _ in views] for views in slates], axis=0)
    assert np.max(np.abs(rates / rates[0] - FLAT)) > 0.3


def test_propensities_take_out_what_the_ranker_knows_of_users():
    curve = [1.0, 0.9, 0.8]
    slates = list(planted.looked_at_by_groups(curve, 20_000, explore=0.3))
    with_them = folded(slates)
    without = folded([(place, item, clicked, None) for place, item, clicked, _ in views] for views in slates)
    assert seen(with_them, 3) == pytest.approx(curve, abs=0.05)
    assert max(abs(np.subtract(seen(without, 3), curve))) > 0.1


def test_an_unknown_surface_and_slates_of_one_item_have_the_prior_curve():
    found = folded([[(0, "a", True, None)]] * 500)
    assert seen(found, 3) == pytest.approx(PRIOR_CURVE[:3])
    assert found.probability("elsewhere", 500) == PRIOR_CURVE[-1]


def test_unseen_positions_go_on_as_the_prior_does_from_the_last_seen_one():
    found = folded(planted.looked_at(FLAT, 5_000))
    expected = found.probability("home", 9) * PRIOR_CURVE[12] / PRIOR_CURVE[9]
    assert found.probability("home", 12) == pytest.approx(expected)


@given(slates, slates)
@settings(max_examples=50)
def test_going_on_from_a_snapshot_is_running_through(before, after):
    resumed = Examination()
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(folded(before).snapshot())))
    folded(after, resumed)
    assert resumed.snapshot() == folded(before + after).snapshot()


@given(slates)
@settings(max_examples=50)
def test_examination_is_a_probability(views):
    found = folded(views * 20)
    assert all(0 < probability <= 1 for probability in seen(found, POSITIONS + 2))


def test_a_snapshot_stands_however_the_fold_goes_on():
    found = folded(planted.looked_at(STEEP, 200))
    snapshot = found.snapshot()
    raw = msgspec.msgpack.encode(snapshot)
    folded(planted.looked_at(STEEP, 200, seed=1), found)
    assert msgspec.msgpack.encode(snapshot) == raw


def test_memory_is_bounded():
    pair = [(0, "a", True, None), (1, "b", False, None)]
    found = folded([[(place, f"{slate}-{place}", True, None) for place in range(50)] for slate in range(100)])
    for number in range(2 * SURFACES):
        found.fold(f"surface-{number}", pair)
    assert len(found.snapshot()) == SURFACES
    assert len(found.snapshot()["home"]["items"]) == ITEMS


def folded(slates, found=None) -> Examination:
    found = found or Examination()
    for views in slates:
        found.fold("home", views)
    return found


def seen(found, positions) -> list[float]:
    return [found.probability("home", position) for position in range(positions)]
