import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.stats import Quantile

from schemas.labels import SATISFIED
from stream.satisfaction import MEMORY, SURFACES, Satisfaction, is_bounce, satisfaction

dwells = st.floats(0, 1e9)
durations = st.none() | st.floats(0, 1e9)
surfaces = st.sampled_from(["feed", "search", ""])
stays = st.lists(st.tuples(dwells, durations, surfaces), max_size=40)


@given(dwells, dwells, durations)
def test_monotone_share(one, other, duration_ms):
    low, high = (satisfaction(dwell_ms, duration_ms) for dwell_ms in sorted((one, other)))
    assert 0 <= low <= high <= 1


def test_long_items_need_no_more_than_eighteen_seconds():
    assert satisfaction(18_000, 3_600_000) == 1
    assert satisfaction(9_000, 0) == 0.5


@given(stays, dwells, dwells, durations, surfaces)
def test_a_rank_is_a_share_and_monotone(stays, one, other, duration_ms, surface):
    seen = folded(stays)
    low, high = (seen.of(dwell_ms, duration_ms, surface) for dwell_ms in sorted((one, other)))
    assert 0 <= low <= high <= 1


@given(dwells, durations, surfaces)
def test_before_any_stay_it_is_the_rule(dwell_ms, duration_ms, surface):
    rule = satisfaction(dwell_ms, duration_ms)
    assert Satisfaction().of(dwell_ms, duration_ms, surface) == pytest.approx(rule)


@given(stays, stays, dwells, durations, surfaces)
def test_going_on_from_a_snapshot_is_running_through(before, after, dwell_ms, duration_ms, surface):
    through = folded(before + after)
    resumed = Satisfaction()
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(folded(before).snapshot())))
    folded(after, resumed)
    assert resumed.snapshot() == through.snapshot()
    assert resumed.of(dwell_ms, duration_ms, surface) == through.of(dwell_ms, duration_ms, surface)


def test_neither_length_nor_surface_shows_in_the_ranks():
    """Longer items are watched longer, and one surface plays by itself: both are gone, before the mean."""
    rng = np.random.default_rng(0)
    seen, ranks = Satisfaction(), {}
    for number in range(30_000):
        surface = "autoplay" if rng.random() < 0.5 else "opened"
        duration_ms = float(rng.choice([8_000, 30_000, 120_000]))
        dwell_ms = float(rng.lognormal(np.log(duration_ms / 3), 1)) * (0.1 if surface == "autoplay" else 1)
        if number > 3_000:
            ranks.setdefault((surface, duration_ms), []).append(seen.of(dwell_ms, duration_ms, surface))
        seen.fold(dwell_ms, duration_ms, surface)
    assert {cell: np.mean(of) for cell, of in ranks.items()} == pytest.approx(
        dict.fromkeys(ranks, 0.5), abs=0.03
    )


def test_where_river_puts_a_quantile_the_rank_is_that_quantile():
    """On a stream whose habits do not change, cell by cell: P² of Jain and Chlamtac (1985) says the same."""
    rng = np.random.default_rng(0)
    cells = [
        (duration_ms, surface) for duration_ms in (8_000, 30_000, 120_000) for surface in ("feed", "top")
    ]
    shares = (0.1, 0.25, 0.5, 0.75, 0.9)
    seen, quantiles = Satisfaction(), {cell: {share: Quantile(share) for share in shares} for cell in cells}
    for _ in range(4_000):
        for place, (duration_ms, surface) in enumerate(cells):
            dwell_ms = float(rng.lognormal(np.log(duration_ms / 3) - 0.5 * (place % 2), 0.5 + 0.1 * place))
            seen.fold(dwell_ms, duration_ms, surface)
            for quantile in quantiles[duration_ms, surface].values():
                quantile.update(dwell_ms)
    for cell, by_share in quantiles.items():
        ranks = {share: seen.of(quantile.get(), *cell) for share, quantile in by_share.items()}
        assert ranks == pytest.approx({share: share for share in shares}, abs=0.02)


def test_a_new_surface_begins_with_what_its_length_is_known_for():
    seen = folded([(dwell_ms, 60_000, "feed") for dwell_ms in range(100, 100_000, 100)])
    assert seen.of(50_000, 60_000, "new") == pytest.approx(seen.of(50_000, 60_000, "feed"), abs=0.02)


def test_old_stays_are_outweighed():
    old, new = [(1_000, 60_000, "feed")] * MEMORY, [(50_000, 60_000, "feed")] * MEMORY
    assert folded(old + new).of(20_000, 60_000, "feed") < 0.5


def test_surfaces_are_bounded():
    seen = folded([(1_000, 60_000, f"surface-{number}") for number in range(2 * SURFACES)])
    assert len(seen.snapshot()["curves"]) == SURFACES + 2  # and those of the bucket, and of all


def test_a_bounce_is_a_click_and_neither_scale_calls_it_satisfied():
    assert is_bounce(True, satisfaction(500, 60_000)) and not is_bounce(False, 0.0)
    assert satisfaction(18_000, 60_000) >= SATISFIED > satisfaction(2_000, 60_000)


def folded(stays, seen=None) -> Satisfaction:
    seen = seen or Satisfaction()
    for dwell_ms, duration_ms, surface in stays:
        seen.fold(dwell_ms, duration_ms, surface)
    return seen
