import pytest

from schemas.errors import InvalidRecord, Reason
from schemas.topics import RETENTION_MS
from stream.admission import FUTURE_MS, admit, reference_ms

NOW = 1_700_000_000_000


@pytest.mark.parametrize("ts", [NOW - RETENTION_MS, NOW, NOW + FUTURE_MS])
def test_bounds_are_admitted(ts):
    admit(ts, NOW)


@pytest.mark.parametrize(
    ("ts", "reason"),
    [
        (NOW + FUTURE_MS + 1, Reason.FROM_THE_FUTURE),
        (NOW - RETENTION_MS - 1, Reason.BEFORE_RETENTION),
    ],
)
def test_beyond_bounds_is_refused(ts, reason):
    with pytest.raises(InvalidRecord) as refused:
        admit(ts, NOW)
    assert refused.value.reason == reason


@pytest.mark.parametrize("header", [b"", b"-1", b"1.5", b"soon", "١".encode()])
def test_unreadable_header_is_refused(header):
    with pytest.raises(InvalidRecord, match="logged-at"):
        reference_ms(header, NOW)
