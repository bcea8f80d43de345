from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import MAX_BYTES
from schemas.errors import InvalidRecord, Reason
from stream.deadletters import CUT_HEADER, DeadLetter, Refusal, dead_letter, refusal
from stream.inbound import Inbound


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


def test_an_explanation_never_outgrows_the_message():
    letter = dead_letter(message(b"x"), InvalidRecord(Reason.INVALID, "y" * 10_000))
    assert len(letter.headers["detail"]) <= 1_000


def test_a_foreign_record_on_the_topic_is_not_an_entry():
    assert refusal(b"hello", {}) is None
    letter = DeadLetter(
        None, b"", {"topic": b"t", "partition": b"x", "offset": b"0", "reason": b"", "detail": b""}
    )
    assert refusal(letter.value, letter.headers) is None
