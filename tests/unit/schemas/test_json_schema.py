"""The committed JSON Schemas are current, and say of records what the codec says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas.json
from schemas.codec import encode
from schemas.record import ID_BYTES, Record
from schemas.topics import TOPICS
from schemas.trace import Trace
from tests.strategies import records

FOLDER = Path(schemas.json.__file__).parent
RECORDS = (*(topic.record for topic in TOPICS if topic.record is not None), Trace)

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
LIMITS = {
    "minimum": lambda value, limit: value >= limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
    "pattern": lambda value, pattern: re.search(pattern, value) is not None,
    "enum": lambda value, allowed: value in allowed,
}


def valid(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """The part of JSON Schema that our files use."""
    if "$ref" in schema:
        return valid(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema:
        return any(valid(value, choice, root) for choice in schema["anyOf"])
    if "type" in schema and not _has_type(value, schema["type"]):
        return False
    if not all(check(value, schema[word]) for word, check in LIMITS.items() if word in schema):
        return False
    if isinstance(value, list):
        return all(valid(one, schema.get("items", {}), root) for one in value)
    return not isinstance(value, dict) or _valid_object(value, schema, root)


def _has_type(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _valid_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any]) -> bool:
    known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
    required = set(schema.get("required", ())) <= value.keys()
    return required and all(valid(one, known.get(name, other), root) for name, one in value.items())


def committed(record: type[Record]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(
        (FOLDER / f"{record.__name__}.schema.json").read_text(encoding="utf-8")
    )
    return parsed


def test_the_committed_files_are_current() -> None:
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.schema.json")}
    assert on_disk == schemas.json.documents(), "run: make schemas"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
@given(data=st.data())
@settings(max_examples=25)
def test_what_the_codec_writes_is_valid(record: type[Record], data: st.DataObject) -> None:
    schema = committed(record)
    assert valid(json.loads(encode(data.draw(records(record)))), schema, schema)


@pytest.mark.parametrize(
    "broken",
    [
        {"ts": "1"},
        {"ts": -1},
        {"ts": 2**53},
        {"user_id": ""},
        {"user_id": "a" * (ID_BYTES + 1)},
        {"items": []},
        {"items": [{"item_id": "i", "position": -1}]},
        {"items": [{"item_id": "i", "position": 2**31}]},
        {"items": [{"item_id": "i", "position": 0, "propensity": 0}]},
        {"context": {"k": None}},
    ],
)
def test_what_the_codec_refuses_is_not_valid(broken: dict[str, Any]) -> None:
    schema = committed(TOPICS[0].record or Record)
    shown = [{"item_id": "i", "position": 0, "propensity": 1}]
    whole = {"event_id": "e", "request_id": "r", "user_id": "u", "ts": 1, "items": shown, "new": [True]}
    assert valid(whole, schema, schema)
    assert not valid({**whole, **broken}, schema, schema)
    assert not valid({name: value for name, value in whole.items() if name != "ts"}, schema, schema)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_id_says_that_its_limit_is_in_bytes(record: type[Record]) -> None:
    text = json.dumps(committed(record))
    assert text.count(f'"maxLength": {ID_BYTES}') == text.count(f"at most {ID_BYTES} bytes of UTF-8")


def test_other_languages_find_the_topic_of_a_record() -> None:
    for topic in TOPICS:
        if topic.record is not None:
            assert f"Topic `{topic.name}`, key: {topic.key}." in committed(topic.record)["description"]
