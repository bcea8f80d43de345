"""The tree drawn in the docstring of `schemas.errors` is the tree of the classes."""

import re

from schemas import errors


def drawn(docstring: str) -> set[tuple[str, str]]:
    """(parent, child) of the drawing: a child of the nearest line above that starts further left."""
    edges: set[tuple[str, str]] = set()
    above: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        found = re.match(r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w*(?:Error|Record|Refused))\b", line)
        if found is None:
            continue
        column = len(found["indent"])
        above = [(left, name) for left, name in above if left < column]
        if above:
            edges.add((above[-1][1], found["name"]))
        above.append((column, found["name"]))
    return edges


def real(parent: type[Exception]) -> set[tuple[str, str]]:
    children = parent.__subclasses__()
    below = (real(child) for child in children)
    return {(parent.__name__, child.__name__) for child in children}.union(*below)


def test_the_drawn_tree_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    assert drawn(errors.__doc__) == real(errors.FreshrankError)


def test_every_exception_of_the_module_is_in_the_tree() -> None:
    raised = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    }
    assert all(issubclass(error, errors.FreshrankError) for error in raised)


def test_reasons_are_written_as_metrics_labels_are() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", reason) for reason in errors.Reason)
