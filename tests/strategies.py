"""Hypothesis strategies: any record that its type allows, built from the type itself."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from schemas.record import Record

SAFE_INT = 2**53 - 1
UTF8_WORST = 4
"""Bytes of the longest UTF-8 character: texts this much shorter than a character bound keep a byte bound."""


def records(record: type[Record]) -> st.SearchStrategy[Any]:
    """Records of one type, with every optional field sometimes given."""
    return _values(inspect.type_info(record))


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    return _STRATEGIES[type(kind)](kind)


def _texts(kind: inspect.StrType) -> st.SearchStrategy[str]:
    return st.text(min_size=kind.min_length or 0, max_size=(kind.max_length or 64) // UTF8_WORST)


def _integers(kind: inspect.IntType) -> st.SearchStrategy[int]:
    low = -SAFE_INT if kind.ge is None else kind.ge
    high = kind.lt - 1 if kind.lt is not None else SAFE_INT if kind.le is None else kind.le
    return st.integers(low, high)


def _floats(kind: inspect.FloatType) -> st.SearchStrategy[float]:
    low = kind.ge if kind.gt is None else kind.gt
    return st.floats(low, kind.le, exclude_min=kind.gt is not None, allow_nan=False, allow_infinity=False)


def _lists(kind: inspect.ListType) -> st.SearchStrategy[list[Any]]:
    return st.lists(_values(kind.item_type), min_size=kind.min_length or 0, max_size=3)


def _dicts(kind: inspect.DictType) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(_values(kind.key_type), _values(kind.value_type), max_size=2)


def _structs(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    required = {field.name: _values(field.type) for field in kind.fields if field.required}
    optional = {field.name: _values(field.type) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind.cls(**fields))


_STRATEGIES: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.Metadata: lambda kind: _values(kind.type),
    inspect.NoneType: lambda _: st.none(),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.LiteralType: lambda kind: st.sampled_from(kind.values),
    inspect.UnionType: lambda kind: st.one_of(*map(_values, kind.types)),
    inspect.StrType: _texts,
    inspect.IntType: _integers,
    inspect.FloatType: _floats,
    inspect.ListType: _lists,
    inspect.DictType: _dicts,
    inspect.StructType: _structs,
}
