"""PURE: JSON Schema of every record, for producers and consumers in other languages.

`python -m schemas.json` writes `documents()` into the files beside this module; a test keeps them current.
"""

import json

import msgspec

from schemas.codec import MAX_BYTES, SCHEMA_HEADER, SCHEMA_VERSION
from schemas.record import Record
from schemas.topics import TOPICS, Topic
from schemas.trace import HEADER, Trace

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, str]:
    """File name → text of the schema, one file a record.

    >>> sorted(documents())[0]
    'Click.schema.json'
    """
    schemas = [_of_topic(topic, topic.record) for topic in TOPICS if topic.record is not None]
    schemas.append(_schema(Trace, f"The JSON value of the header `{HEADER}`."))
    return {f"{schema['title']}.schema.json": _text(schema) for schema in schemas}


def _of_topic(topic: Topic, record: type[Record]) -> dict[str, object]:
    where = (
        f"Topic `{topic.name}`, key: {topic.key}. At most {MAX_BYTES} bytes of UTF-8; "
        f"unknown fields are ignored; header `{SCHEMA_HEADER}`: {SCHEMA_VERSION}, or absent."
    )
    return _schema(record, where)


def _schema(record: type[Record], where: str) -> dict[str, object]:
    """Schema of one record, itself on top and the records it holds under `$defs`."""
    (_,), definitions = msgspec.json.schema_components([record])
    own = definitions.pop(record.__name__)
    description = f"{_one_line(own.pop('description'))} {where}"
    head = {"$schema": DIALECT, "title": own.pop("title"), "description": description}
    held = {
        name: {**held, "description": _one_line(held["description"])} for name, held in definitions.items()
    }
    return {**head, **own, **({"$defs": held} if held else {})}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _text(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
