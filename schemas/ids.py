"""PURE: the ids in a record, and the limit on their bytes."""

from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from schemas.errors import InvalidRecord, Reason
from schemas.record import ID_BYTES, Id, Record


def ids(record: Record) -> Iterator[tuple[str, str]]:
    """Yield (field name, id) of every id in the record, those of nested records included.

    >>> from schemas.events import ShownItem
    >>> list(ids(ShownItem(item_id="i", position=0)))
    [('item_id', 'i')]
    """
    for name in _fields(type(record)):
        held = getattr(record, name)
        for one in held if isinstance(held, list) else [held]:
            if isinstance(one, Record):
                yield from ids(one)
            elif one is not None:
                yield name, one


def check_ids(record: Record) -> None:
    """Bound ids in UTF-8 bytes; the record's type can only count characters, which differ beyond ASCII.

    Raises:
        InvalidRecord: ID_TOO_LONG, with the field and the number of bytes.
    """
    for name, one in ids(record):
        size = len(one.encode())
        if size > ID_BYTES:
            raise InvalidRecord(Reason.ID_TOO_LONG, f"{name} has {size} bytes, expected at most {ID_BYTES}")


@cache
def _fields(record: type[Record]) -> tuple[str, ...]:
    """Names of the fields that hold ids, or records (which may hold ids), alone or in a list."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(name for name in record.__struct_fields__ if _is_id_or_record(_element(hints[name])))


def _is_id_or_record(hint: Any) -> bool:
    return hint == Id or (isinstance(hint, type) and issubclass(hint, Record))


def _element(hint: Any) -> Any:
    """Strip `| None`, `list[…]` and annotations: the type of the thing itself."""
    inner = [argument for argument in get_args(hint) if argument is not NoneType]
    if hint == Id or not inner:
        return hint
    optional = get_origin(hint) in (Union, UnionType) and len(inner) == 1
    if optional or get_origin(hint) in (list, Annotated):
        return _element(inner[0])
    return hint
