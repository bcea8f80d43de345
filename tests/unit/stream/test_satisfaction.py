from hypothesis import given
from hypothesis import strategies as st

from stream.satisfaction import satisfaction

dwells = st.floats(0, 1e9)
durations = st.none() | st.floats(0, 1e9)


@given(dwells, dwells, durations)
def test_monotone_share(one, other, duration_ms):
    low, high = (satisfaction(dwell_ms, duration_ms) for dwell_ms in sorted((one, other)))
    assert 0 <= low <= high <= 1


def test_long_items_need_no_more_than_eighteen_seconds():
    assert satisfaction(18_000, 3_600_000) == 1
    assert satisfaction(9_000, 0) == 0.5
