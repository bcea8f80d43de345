import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import MAX_BYTES
from schemas.deadletters import CUT_HEADER
from schemas.errors import InvalidRecord, Reason
from stream.deadletters import Refusal, dead_letter, original, refusal
from stream.inbound import Inbound

BROKER_BYTES = 1_048_588
"""A broker's `message.max.bytes`, if nobody sets it."""

RECORD_BYTES = 200
"""More than what a record takes besides."""


def message(value: bytes | None, **changes: object) -> Inbound:
    plain = Inbound("clicks", 3, 41, b"user", value, {"logged-at": b"17"}, 1_000)
    return plain._replace(**changes)


@given(st.binary(max_size=200), st.sampled_from(Reason), st.text(max_size=50))
def test_the_refused_bytes_travel_verbatim_with_their_place_and_reason(value, reason, detail):
    letter = dead_letter(message(value), InvalidRecord(reason, detail))
    assert (letter.key, letter.value) == (b"user", value)
    expected = detail.encode(errors="replace").decode()
    assert refusal(letter.value, letter.headers) == Refusal("clicks", 3, 41, reason, expected, len(value))


def test_the_headers_of_the_refused_message_are_kept():
    letter = dead_letter(message(b"x"), InvalidRecord(Reason.NOT_JSON, "?"))
    assert letter.headers["logged-at"] == b"17"


def test_a_null_value_becomes_an_empty_one():
    assert dead_letter(message(None), InvalidRecord(Reason.NOT_JSON, "empty")).value == b""


def test_a_value_that_no_broker_would_take_is_cut_and_says_so():
    size = MAX_BYTES + 5
    letter = dead_letter(message(b"x" * size), InvalidRecord(Reason.TOO_LARGE, "?"))
    assert len(letter.value) == MAX_BYTES
    assert int(letter.headers[CUT_HEADER]) == size
    found = refusal(letter.value, letter.headers)
    assert found is not None
    assert found.size == size


def test_no_letter_is_more_than_a_broker_takes():
    """A message of a broker's largest size may be all key, all headers or all value; the letter says more."""
    large = message(b"x" * BROKER_BYTES, key=b"k" * BROKER_BYTES, headers={"h": b"y" * BROKER_BYTES})
    letter = dead_letter(large, InvalidRecord(Reason.TOO_LARGE, "\u1234" * 10_000))
    headers = sum(len(name) + len(value) for name, value in letter.headers.items())
    assert len(letter.key) + len(letter.value) + headers < BROKER_BYTES - RECORD_BYTES
    assert "h" not in letter.headers
    assert original(letter, 0) is None, "it is not all there"


@pytest.mark.parametrize("part", [{"key": b"k" * 5_000}, {"headers": {"h": b"y" * 17_000}}])
def test_a_letter_of_which_a_part_was_cut_says_so(part):
    letter = dead_letter(message(b"xyz", **part), InvalidRecord(Reason.INVALID, "?"))
    assert letter.headers[CUT_HEADER] == b"3"
    assert letter.value == b"xyz"


def test_a_header_without_a_value_is_left_out():
    letter = dead_letter(message(b"x", headers={"trace": None}), InvalidRecord(Reason.INVALID, "?"))
    assert "trace" not in letter.headers


def test_an_explanation_quotes_nothing_that_a_database_cannot_hold():
    letter = dead_letter(message(b"x"), InvalidRecord(Reason.INVALID, "invalid enum value '\0'"))
    assert letter.headers["detail"] == rb"invalid enum value '\0'"


def test_an_explanation_never_outgrows_the_message():
    letter = dead_letter(message(b"x"), InvalidRecord(Reason.INVALID, "y" * 10_000))
    assert len(letter.headers["detail"]) <= 1_000


def test_a_foreign_record_on_the_topic_is_not_an_entry():
    assert refusal(b"hello", {}) is None


@pytest.mark.parametrize("wrong", [{"partition": b"x"}, {"offset": b"9" * 5_000}, {"topic": None}])
def test_a_record_that_only_looks_like_a_letter_is_not_an_entry(wrong):
    headers = {"topic": b"t", "partition": b"0", "offset": b"0", "reason": b"", "detail": b""}
    assert refusal(b"", headers) is not None
    assert refusal(b"", headers | wrong) is None
