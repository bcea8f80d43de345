"""Twenty kinds of messages that nobody can use, made of good ones."""

import json
import random
from collections.abc import Callable

BLOB_BYTES = 900_000

Poison = Callable[[bytes, random.Random], bytes]


def _with(**fields: object) -> Poison:
    return lambda value, _: json.dumps({**json.loads(value), **fields}).encode()


def _without(name: str) -> Poison:
    def cut(value: bytes, _: random.Random) -> bytes:
        record = json.loads(value)
        del record[name]
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
    "no user": _without("user_id"),
    "no time": _without("ts"),
    "time as text": _with(ts="yesterday"),
    "time before all": _with(ts=-1),
    "deep": lambda *_: b'{"a":' * 50_000,
    "a blob": lambda *_: b"\x00" * BLOB_BYTES,
}
