"""Which attributes of items are names and which are measured, as they arrive: JSON that others wrote."""

import numpy as np
import pytest

from learner.catalogue import NUMBER_SLOTS, TAG_SLOTS, Catalogue, Keys, frequent_keys
from learner.rows import Vocabulary
from schemas.codec import decode
from schemas.events import Item
from tests.tiny import embed

CAPACITIES = {"items": 16, "users": 2, "attributes": 64, "contexts": 2}


def sent(item_id: str, attributes: str) -> Item:
    raw = f'{{"item_id":"{item_id}","ts":0,"title":"a title","attributes":{{{attributes}}}}}'
    return decode(Item, raw.encode())


# JavaScript writes 5.0 as 5.
PRICED = [
    sent("a", '"price":4.99'),
    sent("b", '"price":5'),
    sent("c", '"price":-3'),
    sent("d", '"price":"on request"'),
    sent("e", ""),
]
MIXED = Keys(names=("price",), numbers=("price",))
"""What a base of an earlier release says of the same items."""


def catalogue(keys: Keys) -> Catalogue:
    return Catalogue(Vocabulary(CAPACITIES, {}), keys, 8, embed)


def test_a_key_with_a_float_among_its_values_is_measured_and_no_name() -> None:
    items = [*PRICED, sent("f", '"year":1995'), sent("g", '"maker":"m"')]
    assert frequent_keys(items) == Keys(names=("maker", "year"), numbers=("price",))


def test_one_stray_float_makes_no_measure_of_a_key_of_words() -> None:
    words = [sent(f"{n}", f'"maker":"m{n}"') for n in range(9)]
    assert frequent_keys([*words, sent("x", '"maker":0.5')]) == Keys(names=("maker",))


def test_slots_go_to_the_measured_keys_that_most_items_have_in_floats_or_not() -> None:
    whole = [sent(f"{n}", '"steady":1') for n in range(9)]
    rare = [sent("r", ",".join(f'"rare{n}":0.5' for n in range(NUMBER_SLOTS)))]
    assert "steady" in frequent_keys([*whole, sent("c", '"steady":1.5'), *rare]).numbers


@pytest.mark.parametrize("keys", [frequent_keys(PRICED), MIXED], ids=["new base", "older base"])
def test_a_whole_number_of_a_measured_key_is_read(keys: Keys) -> None:
    there = catalogue(keys)
    rows = there.put(PRICED)
    np.testing.assert_array_equal(there.numbers[rows, 0], np.float32([4.99, 5, -3, 0, 0]))


@pytest.mark.parametrize("keys", [frequent_keys(PRICED), MIXED], ids=["new base", "older base"])
def test_no_number_of_a_measured_key_takes_an_attribute_row(keys: Keys) -> None:
    there = catalogue(keys)
    rows = there.put(PRICED)
    assert not there.attributes[rows[[0, 1, 2, 4]]].any()


def test_a_truth_is_not_measured() -> None:
    there = catalogue(Keys(numbers=("new",)))
    rows = there.put([Item(item_id="i", ts=0, title="a", attributes={"new": True})])
    assert not there.numbers[rows].any()


def test_whole_numbers_alone_are_names() -> None:
    films = [sent("a", '"year":1995'), sent("b", '"year":1996'), sent("c", '"year":1995')]
    there = catalogue(frequent_keys(films))
    rows = there.put(films)
    assert there.keys == Keys(names=("year",))
    first, second, third = there.attributes[rows, TAG_SLOTS].tolist()
    assert 0 < first == third != second > 0
