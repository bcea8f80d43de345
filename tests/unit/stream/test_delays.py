import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.delays import MEMORY, SURFACES, Delays, quick_weight

elapsed = st.floats(0, 1e9)
surfaces = st.sampled_from(["home", "search", "new"])
observed = st.lists(st.tuples(surfaces, st.none() | elapsed), max_size=60)


def test_finds_a_planted_distribution_whose_window_cuts_the_tail():
    """Most come soon, a heavy tail late; the shares are of those that come within the window at all."""
    rng = np.random.default_rng(0)
    soon, late = rng.exponential(4_000, 14_000), 20_000 * rng.pareto(1.1, 6_000)
    times = rng.permutation(np.append(soon, late))
    kept = times[times < 600_000]
    found = folded([("home", time) for time in kept])
    for at in (500, 2_000, 8_000, 30_000, 120_000, 500_000):
        assert found.share_by("home", at) == pytest.approx(np.mean(kept < at), abs=0.02)


@given(st.floats(0.001, 0.99), st.floats(0, 1))
def test_what_is_learned_in_the_end_is_what_an_oracle_learns(click_rate, share):
    """By the ledger: late clicks are learned whole, and the final revision repeats the negative's weight."""
    early, late = click_rate * share, click_rate * (1 - share)
    negative = (1 - early) * quick_weight(share, click_rate)
    assert negative == pytest.approx(1 - click_rate)
    assert early + late == pytest.approx(click_rate)


@given(observed, elapsed, elapsed, surfaces)
def test_shares_rates_and_weights_are_shares_and_the_share_grows(seen, one, other, surface):
    found = folded(seen)
    low, high = (found.share_by(surface, at) for at in sorted((one, other)))
    assert 0 <= low <= high <= 1
    assert 0 < found.click_rate(surface) < 1
    assert 0 <= found.weight(surface, one) <= 1


@given(observed, observed, elapsed, surfaces)
def test_going_on_from_a_snapshot_is_running_through(before, after, at, surface):
    resumed = Delays()
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(folded(before).snapshot())))
    folded(after, resumed)
    through = folded(before + after)
    assert resumed.snapshot() == through.snapshot()
    assert resumed.weight(surface, at) == through.weight(surface, at)


def test_surfaces_differ_and_a_new_one_begins_with_what_all_have_in_common():
    found = folded([("fast", 1_000.0)] * 500 + [("slow", 100_000.0)] * 500)
    assert found.share_by("fast", 10_000) > 0.9 > 0.1 > found.share_by("slow", 10_000)
    assert found.share_by("new", 10_000) == pytest.approx(0.5, abs=0.05)


def test_habits_change():
    found = folded([("home", 1_000.0)] * MEMORY + [("home", 100_000.0)] * MEMORY)
    assert found.share_by("home", 10_000) < 0.5


def test_surfaces_are_bounded():
    found = folded([(f"surface-{number}", 1.0) for number in range(2 * SURFACES)])
    assert len(found.snapshot()["surfaces"]) == SURFACES


def folded(seen, found=None) -> Delays:
    found = found or Delays()
    for surface, delay_ms in seen:
        found.fold(surface, delay_ms)
    return found
