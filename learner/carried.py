"""PURE: which rows the next checkpoints carry, and which of them by name."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from learner.rows import Vocabulary

Rows = dict[str, set[int]]
"""Row numbers by index name."""


class Carried:
    """Rows touched since the base, which a full checkpoint carries, and since the last checkpoint.

    A row is named once, in the first checkpoint since the last full one that carries it.
    """

    def __init__(self) -> None:
        self.touched, self.unpublished, self._named = _none(), _none(), _none()

    def add(self, index: str, rows: Iterable[int]) -> None:
        """Let the next checkpoint carry rows, and every full one."""
        self.touched[index].update(rows)
        self.unpublished[index].update(rows)

    def rename(self, index: str, rows: set[int]) -> None:
        """The same, under the names that they have by now."""
        self.add(index, rows)
        self._named[index] -= rows

    def name(self, rows: Mapping[str, set[int]], given: Mapping[str, NDArray[np.bool_]], full: bool) -> Rows:
        """Of the rows of a checkpoint those that it must name: not the base's, nor told since a full one.

        `given` says of each row of the base, [1 + n], whether it was another's since.
        """
        if full:
            self._named = _none()
        names = {}
        for index, away in given.items():
            new = rows[index] - self._named[index]
            names[index] = {row for row in new if row >= len(away) or away[row]}
            self._named[index] |= names[index]
        return names

    def publish(self) -> None:
        """Say that there is a checkpoint of all so far."""
        self.unpublished = _none()

    def restore(self, touched: Mapping[str, set[int]]) -> None:
        """Begin with rows touched since the base; the next checkpoint has to be full."""
        self.touched = {index: set(touched.get(index, ())) for index in Vocabulary.NAMES}
        self.unpublished = _none()


def _none() -> Rows:
    return {index: set() for index in Vocabulary.NAMES}
