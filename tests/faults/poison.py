"""Twenty kinds of messages that nobody can use, made of good ones."""

import json
import random
from collections.abc import Callable

BLOB_BYTES = 900_000

Poison = Callable[[bytes, random.Random], bytes]
"""Makes a message of a good one, which may be of any record with a `ts`."""

Headers = list[tuple[str, bytes]]


def _with(**fields: object) -> Poison:
    return lambda value, _: json.dumps({**json.loads(value), **fields}).encode()


def _without(*names: str) -> Poison:
    """Cut out the first of these that a record has."""

    def cut(value: bytes, _: random.Random) -> bytes:
        record = json.loads(value)
        del record[next(name for name in names if name in record)]
        return json.dumps(record).encode()

    return cut


def _fuzzed(value: bytes, rng: random.Random) -> bytes:
    """Bytes that are no JSON any more, whatever they hit."""
    spoilt = bytearray(value)
    for place in rng.sample(range(1, len(spoilt)), 8):
        spoilt[place] = rng.randrange(256)
    return b"\xff" + bytes(spoilt)


POISONS: dict[str, Poison] = {
    "fuzzed": _fuzzed,
    "nothing": lambda *_: b"",
    "null": lambda *_: b"null",
    "a list": lambda *_: b"[]",
    "a string": lambda *_: b'"click"',
    "a number": lambda *_: b"1e309",
    "cut in half": lambda value, _: value[: len(value) // 2],
    "half a character": lambda *_: b'{"user_id":"\xc3',
    "latin-1": lambda *_: '{"user_id":"é"}'.encode("latin-1"),
    "NaN": lambda value, _: value.replace(b'"ts":', b'"ts":NaN,"was":'),
    "infinite": lambda value, _: value.replace(b'"ts":', b'"ts":-Infinity,"was":'),
    "a huge id": _with(user_id="u" * 5_000, item_id="i" * 5_000),
    "an id of nothing": _with(user_id="", item_id=""),
    "an id that is a number": _with(user_id=7, item_id=7),
    "nobody": _without("user_id", "item_id"),
    "no time": _without("ts"),
    "time as text": _with(ts="yesterday"),
    "time before all": _with(ts=-1),
    "deep": lambda *_: b'{"a":' * 50_000,
    "a blob": lambda *_: b"\x00" * BLOB_BYTES,
}

RECORDLESS = (
    *("fuzzed", "nothing", "null", "a list", "a string", "a number", "cut in half", "half a character"),
    *("latin-1", "deep", "a blob"),
)
"""Those that are no record of any kind."""

POISONED_HEADERS: dict[str, Headers] = {
    "a later version": [("schema", b"99")],
    "a version of many digits": [("schema", b"9" * 5_000)],
    "a version that is no number": [("schema", b"\xff")],
}
"""Headers for which a good message is refused."""

ODD_HEADERS: dict[str, Headers] = {
    "no trace": [("trace", b"")],
    "a trace that is none": [("trace", b"\xff{")],
    "something of others": [("", b"")],
}
"""Headers that cost a message nothing."""

FILLING: Headers = [("filling", b"\x00" * 140_000)]
"""With a blob, nearly all that a broker takes: there is no room to say why it is refused."""
