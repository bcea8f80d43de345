import pytest

from schemas.errors import InvalidRecord
from schemas.headers import number, schema_of


@pytest.mark.parametrize("raw", [b"", b"x", b"-1", b"1.5", "½".encode(), "٣".encode(), b"9" * 5_000])
def test_what_is_no_number_is_refused(raw):
    """Five thousand digits are a number, but none that Python turns into one."""
    with pytest.raises(InvalidRecord, match=r"header schema is .* expected at most 18 ASCII digits"):
        number("schema", raw)
    with pytest.raises(InvalidRecord):
        schema_of({"schema": raw})
