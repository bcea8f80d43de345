import pytest

from schemas.codec import encode
from schemas.errors import InvalidRecord, Reason
from schemas.events import Click
from schemas.trace import LOGGED_AT
from stream.admission import FUTURE_MS
from stream.reading import read_event, read_events
from tests.worker_fakes import inbound

GOOD = encode(Click(event_id="c", request_id="r", user_id="u", item_id="a", ts=1_000))
AHEAD = encode(Click(event_id="c", request_id="r", user_id="u", item_id="a", ts=1_001 + FUTURE_MS))
WIDE = encode(Click(event_id="c", request_id="r", user_id="é", item_id="ab" * 128, ts=1_000))

ODD = {
    "empty": inbound("clicks", None),
    "not JSON": inbound("clicks", b"{"),
    "deep": inbound("clicks", b"[" * 100_000),
    "two in one": inbound("clicks", GOOD + b"\n" + GOOD),
    "a line too much": inbound("clicks", GOOD + b"\n"),
    "from the future": inbound("clicks", AHEAD, timestamp=1_000),
    "replayed": inbound("clicks", AHEAD, headers={LOGGED_AT: b"%d" % (1_001 + FUTURE_MS)}),
    "stamped wrongly": inbound("clicks", GOOD, headers={LOGGED_AT: b"soon"}),
    "of a newer schema": inbound("clicks", GOOD, headers={"schema": b"2"}),
    "not ASCII": inbound("clicks", WIDE),
    "an id too long in bytes": inbound("clicks", WIDE.replace("é".encode(), "é".encode() * 200)),
}


@pytest.mark.parametrize("name", ODD)
def test_messages_are_read_together_as_they_are_one_by_one(name):
    for messages in ([ODD[name]], [inbound("clicks", GOOD), ODD[name], inbound("clicks", GOOD)]):
        told = [_told(one) for one in read_events(messages)]
        assert told == [_alone(message) for message in messages]


def test_two_records_in_one_message_are_not_taken_for_those_of_an_empty_one():
    read = read_events([ODD["two in one"], ODD["empty"]])
    assert [_told(one) for one in read] == [Reason.NOT_JSON, Reason.NOT_JSON]


def _alone(message):
    try:
        return read_event(message)
    except InvalidRecord as error:
        return error.reason


def _told(read):
    return read.reason if isinstance(read, InvalidRecord) else read
