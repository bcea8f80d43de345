"""What goes in comes out; what is not a record is refused, with the reason its dead letter will carry."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events
from schemas.codec import MAX_BYTES, SCHEMA_VERSION, decode, encode
from schemas.errors import InvalidRecord, Reason
from schemas.labels import LabeledSlate
from schemas.recommendation import MAX_K, RecommendationRequest
from schemas.record import ID_BYTES, Record
from schemas.topics import TOPICS
from schemas.trace import Trace
from tests.strategies import records

RECORDS = (*(topic.record for topic in TOPICS if topic.record is not None), Trace)

CLICK = {"event_id": "e", "request_id": "r", "user_id": "u", "item_id": "i", "ts": 1}
DWELL = {**CLICK, "dwell_ms": 900}
SHOWN = {"item_id": "i", "position": 0}
IMPRESSION = {"event_id": "e", "request_id": "r", "user_id": "u", "ts": 1, "items": [SHOWN]}
FEEDBACK = {"event_id": "e", "user_id": "u", "ts": 1, "kind": "like", "item_id": "i"}
SEARCH = {"event_id": "e", "user_id": "u", "ts": 1, "query": "jazz"}
ITEM = {"item_id": "i", "ts": 1, "title": "t"}
REQUEST = {"request_id": "r", "user_id": "u", "ts": 1, "k": 10}
LABEL = {"request_id": "r", "revision": 0, "user_id": "u", "ts": 1, "observed_ts": 2}
LABEL |= {"session": {}, "slate": ["i"], "outcomes": [SHOWN]}


def refusal(record: type[Record], raw: bytes) -> Reason:
    with pytest.raises(InvalidRecord) as refused:
        decode(record, raw)
    return refused.value.reason


def literal(fields: dict[str, object], name: str, token: str) -> bytes:
    """The fields as JSON, one of them replaced by a token that Python's `json` would not write."""
    return json.dumps({**fields, name: "@"}).replace('"@"', token).encode()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
@given(data=st.data())
@settings(max_examples=40)
def test_decoding_gives_back_what_was_encoded(record: type[Record], data: st.DataObject) -> None:
    value = data.draw(records(record))
    assert decode(record, encode(value)) == value


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (events.Impression, IMPRESSION),
        (events.Click, CLICK),
        (events.Dwell, DWELL),
        (events.Feedback, FEEDBACK),
        (events.Search, SEARCH),
        (events.Item, ITEM),
        (RecommendationRequest, REQUEST),
        (LabeledSlate, LABEL),
    ],
)
def test_required_fields_alone_make_a_record_and_each_is_required(
    record: type[Record], fields: dict[str, object]
) -> None:
    decode(record, json.dumps(fields).encode())
    for name in fields:
        missing = {other: value for other, value in fields.items() if other != name}
        assert refusal(record, json.dumps(missing).encode()) is Reason.INVALID


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"click",
        b"{",
        b"{'event_id': 'e'}",
        b"\xef\xbb\xbf{}",
        json.dumps(SEARCH).encode("utf-16"),
        json.dumps(SEARCH).encode() + b"x",
        json.dumps(SEARCH).encode() + json.dumps(SEARCH).encode(),
        json.dumps(SEARCH).encode() + b"\0",
        json.dumps(SEARCH).replace("jazz", "\x01").encode(),
        json.dumps(SEARCH).encode().replace(b"jazz", b"\xff"),
    ],
)
def test_bytes_that_are_not_one_json_value(raw: bytes) -> None:
    assert refusal(events.Search, raw) is Reason.NOT_JSON


def test_only_the_reserved_surface_itself_is_refused() -> None:
    for surface in ("", "home", "feedback page", "my feedback"):
        assert decode(events.Impression, json.dumps({**IMPRESSION, "surface": surface}).encode())


def test_space_around_the_value_is_json() -> None:
    assert decode(events.Search, b" " + json.dumps(SEARCH).encode() + b"\r\n").query == "jazz"


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have(token: str) -> None:
    assert refusal(events.Dwell, literal(DWELL, "dwell_ms", token)) is Reason.NOT_JSON


@pytest.mark.parametrize("token", ["1e999", "-1e999", "9" * 400])
def test_numbers_beyond_the_range_of_a_double(token: str) -> None:
    assert refusal(events.Dwell, literal(DWELL, "dwell_ms", token)) is Reason.INVALID
    assert refusal(events.Impression, literal(IMPRESSION, "context", f'{{"k":{token}}}')) is Reason.INVALID
    assert refusal(events.Item, literal(ITEM, "vectors", f'{{"v":[{token}]}}')) is Reason.INVALID


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1.5])
def test_scalars_within_64_bits_are_kept(number: float) -> None:
    item = decode(events.Item, json.dumps({**ITEM, "attributes": {"k": number}}).encode())
    assert item.attributes == {"k": number}


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (events.Click, {**CLICK, "ts": "1"}),
        (events.Click, {**CLICK, "ts": 1.5}),
        (events.Click, {**CLICK, "ts": True}),
        (events.Click, {**CLICK, "ts": -1}),
        (events.Click, {**CLICK, "ts": 2**53}),
        (events.Click, {**CLICK, "user_id": 7}),
        (events.Click, {**CLICK, "user_id": None}),
        (events.Click, {**CLICK, "user_id": ""}),
        (events.Click, {**CLICK, "position": -1}),
        (events.Click, {**CLICK, "position": 2**31}),
        (events.Dwell, {**DWELL, "dwell_ms": -0.1}),
        (events.Dwell, {**DWELL, "dwell_ms": "900"}),
        (events.Dwell, {**DWELL, "dwell_ms": None}),
        (events.Dwell, {**DWELL, "completion": -1}),
        (events.Impression, {**IMPRESSION, "surface": "feedback"}),
        (events.Impression, {**IMPRESSION, "items": []}),
        (events.Impression, {**IMPRESSION, "items": [SHOWN] * 501}),
        (events.Impression, {**IMPRESSION, "items": {"item_id": "i"}}),
        (events.Impression, {**IMPRESSION, "context": {"k": True}}),
        (events.Impression, {**IMPRESSION, "context": {"k": [1]}}),
        (events.Feedback, {**FEEDBACK, "kind": "adore"}),
        (events.Item, {**ITEM, "tags": "jazz"}),
        (events.Item, {**ITEM, "duration_ms": -1}),
        (RecommendationRequest, {**REQUEST, "k": 0}),
        (RecommendationRequest, {**REQUEST, "k": MAX_K + 1}),
        (LabeledSlate, {**LABEL, "revision": -1}),
        (LabeledSlate, {**LABEL, "outcomes": [{**SHOWN, "satisfaction": 1.01}]}),
        (LabeledSlate, {**LABEL, "outcomes": [{**SHOWN, "weight": -0.1}]}),
    ],
)
def test_values_outside_their_type(record: type[Record], fields: dict[str, object]) -> None:
    assert refusal(record, json.dumps(fields).encode()) is Reason.INVALID


@pytest.mark.parametrize("raw", [b"null", b"[]", b"1", b'"e"', b"{}"])
def test_json_that_is_not_the_record(raw: bytes) -> None:
    assert refusal(events.Click, raw) is Reason.INVALID


@pytest.mark.parametrize("propensity", [0, -0.5, 1.0001, 1e-400])
def test_propensity_outside_its_interval(propensity: float) -> None:
    fields = {**IMPRESSION, "items": [{**SHOWN, "propensity": propensity}]}
    assert refusal(events.Impression, json.dumps(fields).encode()) is Reason.INVALID


def test_propensity_of_one_is_allowed() -> None:
    fields = {**IMPRESSION, "items": [{**SHOWN, "propensity": 1}]}
    assert decode(events.Impression, json.dumps(fields).encode()).items[0].propensity == 1.0


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("character", ["a", "é", "あ", "🎷"])
def test_ids_are_bounded_in_utf8_bytes_however_they_are_written(character: str, escaped: bool) -> None:
    longest = character * (ID_BYTES // len(character.encode()))

    def click(item_id: str) -> bytes:
        return json.dumps({**CLICK, "item_id": item_id}, ensure_ascii=escaped).encode()

    assert decode(events.Click, click(longest)).item_id == longest
    assert refusal(events.Click, click(longest + character)) is Reason.ID_TOO_LONG


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (events.Impression, {**IMPRESSION, "session_id": "@"}),
        (events.Impression, {**IMPRESSION, "items": [{**SHOWN, "item_id": "@"}]}),
        (RecommendationRequest, {**REQUEST, "candidates": ["i", "@"]}),
        (RecommendationRequest, {**REQUEST, "exclude": ["@"]}),
        (LabeledSlate, {**LABEL, "slate": ["@"]}),
        (LabeledSlate, {**LABEL, "outcomes": [{**SHOWN, "item_id": "@"}]}),
        (LabeledSlate, {**LABEL, "session": {"recent": [{"item_id": "@", "action": "click", "age_s": 1}]}}),
    ],
)
@pytest.mark.parametrize("long_id", ["a" * 257, "é" * 129])
def test_ids_are_bounded_wherever_they_stand(
    record: type[Record], fields: dict[str, object], long_id: str
) -> None:
    raw = json.dumps(fields).replace("@", long_id).encode()
    assert refusal(record, raw) is Reason.ID_TOO_LONG


def test_text_that_is_no_id_is_not_bounded() -> None:
    assert len(decode(events.Search, json.dumps({**SEARCH, "query": "é" * 5_000}).encode()).query) == 5_000


@pytest.mark.parametrize("surrogate", [r"\ud800", r"\udfff", r"\ud800a", r"\ud800\ud800", r"\udc00\ud800"])
@pytest.mark.parametrize("field", ["query", "user_id"])
def test_lone_surrogates_are_not_text(field: str, surrogate: str) -> None:
    assert refusal(events.Search, literal(SEARCH, field, f'"{surrogate}"')) is Reason.NOT_JSON


def test_surrogate_pairs_are_text() -> None:
    assert decode(events.Search, literal(SEARCH, "query", r'"\ud83c\udfb7"')).query == "🎷"


def test_the_size_limit_is_exact() -> None:
    room = MAX_BYTES - len(encode(events.Search(**{**SEARCH, "query": ""})))
    assert decode(events.Search, encode(events.Search(**{**SEARCH, "query": "a" * room})))
    too_large = encode(events.Search(**{**SEARCH, "query": "a" * (room + 1)}))
    assert refusal(events.Search, too_large) is Reason.TOO_LARGE


@pytest.mark.parametrize("brackets", ["[]", ("{" + '"a":', "}")])
def test_json_too_deep_to_read_is_refused_and_does_not_crash(brackets: str) -> None:
    opening, closing = brackets
    deep = opening * 100_000 + "1" + closing * 100_000
    assert refusal(events.Search, literal(SEARCH, "unknown", deep)) is Reason.NOT_JSON


def test_unknown_fields_are_ignored_at_every_depth() -> None:
    fields = {**IMPRESSION, "since": {"v": 2}, "items": [{**SHOWN, "badge": "new"}]}
    assert decode(events.Impression, json.dumps(fields).encode()) == decode(
        events.Impression, json.dumps(IMPRESSION).encode()
    )


def test_a_newer_schema_is_refused_before_the_value_is_read() -> None:
    with pytest.raises(InvalidRecord, match="schema 2, expected at most 1") as refused:
        decode(events.Click, b"not read", schema=SCHEMA_VERSION + 1)
    assert refused.value.reason is Reason.SCHEMA_UNSUPPORTED


def test_the_detail_says_place_expectation_and_what_came() -> None:
    with pytest.raises(InvalidRecord, match=r"Expected `int`, got `str` - at `\$\.ts`") as refused:
        decode(events.Click, json.dumps({**CLICK, "ts": "1"}).encode())
    assert str(refused.value) == f"invalid: {refused.value.detail}"


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with pytest.raises(InvalidRecord):
        decode(events.Impression, raw)
