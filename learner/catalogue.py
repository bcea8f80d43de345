"""PURE: the items there are, as arrays with one row an item."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from learner.rows import Vocabulary
from learner.token_states import Tokens, TokenStates
from schemas.events import Item
from schemas.record import Scalar

TAG_SLOTS = 4
KEY_SLOTS = 4
SLOTS = TAG_SLOTS + KEY_SLOTS
NUMBER_SLOTS = 4
LARGEST = 2e18
"""A measured number beyond this, either way, counts as this: the square of a difference, 1.6·10³⁷ at most, is
finite in float32, and so is what base training makes of it. Nanoseconds since the epoch are within."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class ReadTexts(NamedTuple):
    """Items as a text encoder reads them: vectors [n, width], and token states where blocks are adapted."""

    vectors: NDArray[np.float32]
    states: Sequence[NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The attributes that have a slot each, so that a slot means the same for every item.

    `names` have values that are names, even where a whole number names it. `numbers` are measured: among
    their values are floats, and the others may be whole, as JavaScript writes 5.0 as 5.
    """

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


class Catalogue:
    """Items by row: text vectors [n, width], attribute rows [n, SLOTS], numbers [n, NUMBER_SLOTS], and so on.

    The first TAG_SLOTS attribute slots hold tags, the others the values of `keys.names`. A number that an
    item does not have is 0. Row 0, the unknown item, has no text and no attributes. `states` are kept beside
    the text vectors where `tokens` reads them.
    """

    def __init__(
        self, vocabulary: Vocabulary, keys: Keys, width: int, embed: Embed, tokens: Tokens | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._embed, self._tokens = embed, tokens
        self.keys = keys
        capacity = vocabulary.items.capacity
        self.text = np.zeros((capacity, width), np.float32)
        self.states = None if tokens is None else TokenStates(capacity, width)
        self.attributes = np.zeros((capacity, SLOTS), np.int32)
        self.numbers = np.zeros((capacity, NUMBER_SLOTS), np.float32)
        self.log_duration = np.zeros(capacity, np.float32)
        self.created_ts = np.zeros(capacity, np.float64)
        self.known = np.zeros(capacity, np.bool_)

    def read(self, items: Sequence[Item]) -> ReadTexts:
        """What the text encoder makes of items, which can take seconds; changes nothing here."""
        texts = [verbalise(item) for item in items]
        return ReadTexts(self._embed(texts), self._tokens(texts) if self._tokens is not None else ())

    def put(self, items: Sequence[Item], read: ReadTexts | None = None) -> NDArray[np.int32]:
        """Add or replace items; returns their rows, int32 [n]. Items beyond the capacity stay unknown.

        `read` is what `read` gave for them, where that was asked for before.
        """
        vectors, tokens = read or self.read(items)
        rows = self._vocabulary.items.rows([item.item_id for item in items], admit=True)
        for row, item, vector in zip(rows, items, vectors, strict=True):
            if row:
                self._put_one(int(row), item, vector)
        if self.states is not None:
            for row, states in zip(rows.tolist(), tokens, strict=True):
                if row:
                    self.states.put(row, states)
        return rows

    def told(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """What the item tower reads of rows: text vectors [n, width], or token states [n, l, width]."""
        told: NDArray[np.float32] = self.text[rows] if self.states is None else self.states.at(rows)
        return told

    def _put_one(self, row: int, item: Item, vector: NDArray[np.float32]) -> None:
        self.text[row] = vector
        self.attributes[row] = self._slots(item)
        self.numbers[row] = self._numbers(item)
        self.log_duration[row] = np.log1p((item.duration_ms or 0.0) / 1000)
        self.created_ts[row] = item.created_ts or 0
        self.known[row] = True

    def _slots(self, item: Item) -> NDArray[np.int32]:
        admit = self._vocabulary.attributes.admit
        slots = np.zeros(SLOTS, np.int32)
        for slot, tag in enumerate(item.tags[:TAG_SLOTS]):
            slots[slot] = admit(f"tag={tag}")
        for slot, key in enumerate(self.keys.names, start=TAG_SLOTS):
            if key in item.attributes and not self._measures(key, item.attributes[key]):
                slots[slot] = admit(f"{key}={item.attributes[key]}")
        return slots

    def _measures(self, key: str, value: Scalar) -> bool:
        """Whether a value is a number and no name. An older base may list a measured key among the names."""
        return key in self.keys.numbers and is_number(value)

    def _numbers(self, item: Item) -> NDArray[np.float32]:
        numbers = np.zeros(NUMBER_SLOTS, np.float32)
        for slot, key in enumerate(self.keys.numbers):
            value = item.attributes.get(key, 0.0)
            numbers[slot] = min(max(value, -LARGEST), LARGEST) if is_number(value) else 0.0
        return numbers

    def remove(self, item_id: str) -> None:
        """Take an item out of the candidates; what was learned of it stays."""
        items = self._vocabulary.items
        row = items.lookup(item_id)
        self.known[row] = False
        if items.turnover is not None:
            items.turnover.mark(np.array([row]))

    def forget(self, rows: NDArray[np.integer]) -> None:
        """Empty those of these rows that are no candidates."""
        gone = rows[~self.known[rows]]
        for array in self._arrays():
            array[gone] = 0
        if self.states is not None:
            self.states.clear(gone)

    def renumber(self, ids: Sequence[str], rows: NDArray[np.integer]) -> None:
        """Put what stands in `rows` where these ids have their rows now; nothing else stays."""
        kept = [array[rows] for array in self._arrays()]
        for array in self._arrays():
            array[:] = 0
        own = self._vocabulary.items.rows(ids, admit=True)
        for array, values in zip(self._arrays(), kept, strict=True):
            array[own[own > 0]] = values[own > 0]
        if self.states is not None:
            self.states.move(rows, own)

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.text, self.attributes, self.numbers, self.log_duration, self.created_ts, self.known

    def candidate_ids(self) -> list[str]:
        """Ids of every item that can be recommended, in row order."""
        id_of = self._vocabulary.items.id_of
        return [id_of(int(row)) for row in np.flatnonzero(self.known)]


def verbalise(item: Item) -> str:
    """What a text encoder is told of an item. Bare numbers say nothing to it and are left out.

    >>> attributes = {"label": "Blue Note", "n": 7}
    >>> verbalise(Item(item_id="i", ts=0, title="Blue Train", tags=["jazz"], attributes=attributes))
    'Blue Train. jazz. label: Blue Note'
    """
    return ". ".join(part for part in described(item) if part)


def described(item: Item) -> list[str]:
    """The parts of that text: title, text, tags, and every attribute; empty where an item has none."""
    attributes = (f"{key}: {value}" for key, value in sorted(item.attributes.items()) if _is_word(value))
    return [item.title, item.text, ", ".join(tag for tag in item.tags if _is_word(tag)), *attributes]


def _is_word(value: Scalar) -> bool:
    return isinstance(value, str) and any(letter.isalpha() for letter in value)


def is_number(value: Scalar) -> TypeGuard[int | float]:
    """Whether a value can be that of a measured key.

    >>> is_number(5), is_number(5.0), is_number("5"), is_number(True)
    (True, True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def frequent_keys(items: Iterable[Item]) -> Keys:
    """The keys that most items have, as many as have slots; by name where equal.

    A key with a float among its values, most of which are numbers, is measured, and no name.

    >>> film = Item(item_id="i", ts=0, title="", attributes={"year": 1995, "share": 0.5})
    >>> frequent_keys([film, Item(item_id="j", ts=0, title="", attributes={"share": 1})])
    Keys(names=('year',), numbers=('share',))
    """
    values: Counter[str] = Counter()
    numeric: Counter[str] = Counter()
    fractional: set[str] = set()
    for item in items:
        for key, value in item.attributes.items():
            values[key] += 1
            numeric[key] += is_number(value)
            if isinstance(value, float):
                fractional.add(key)
    numbers = Counter({key: numeric[key] for key in fractional if 2 * numeric[key] > values[key]})
    names = Counter({key: count for key, count in values.items() if key not in numbers})
    return Keys(names=_most_frequent(names, KEY_SLOTS), numbers=_most_frequent(numbers, NUMBER_SLOTS))


def _most_frequent(counts: Counter[str], most: int) -> tuple[str, ...]:
    return tuple(sorted(sorted(counts, key=lambda key: (-counts[key], key))[:most]))
