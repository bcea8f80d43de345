"""SHELL: how Python looks for garbage in processes that keep much and make few cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""Allocations between two looks of the garbage collector at the youngest objects."""

LOOKS = 1
"""Looks at the youngest between two at what outlived one. Few: each then has little to go through, and holds
the event loop for some ms and not, as after five of twice the size, for 25."""


def spare_the_old() -> None:
    """Keep the garbage collector to what is young.

    Whoever labels holds up to millions of objects for minutes: open slates, sessions. They are trees, which
    reference counts free; looking through all of them again and again took a third of a worker's time, up to
    a second at once, and a seventh of `freshrank label`.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, LOOKS, 1_000_000)


@contextmanager
def sparing_the_old() -> Iterator[None]:
    """Do so for a while; afterwards all is as it was."""
    thresholds = gc.get_threshold()
    spare_the_old()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
