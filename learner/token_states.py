"""PURE: the token states of items by row, where blocks of the text encoder are adapted.

They are what a step starts from in the place of a text vector, and never change with the weights. An item
takes 4 bytes × width for each token of its text, 128 at most: so 1.5 kB a token of the default encoder, some
20 kB for a title with tags, and at the very most 200 kB times the rows of items.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from learner.text_blocks import blocks_in
from schemas.errors import BaseError

Floats = NDArray[np.float32]
Tokens = Callable[[Sequence[str]], list[Floats]]
"""Texts [n] → n of float32 [l · width], of the l tokens of each."""


@runtime_checkable
class TokenReader(Protocol):
    """A text encoder that tells what enters its last blocks, as `learner.text.TextEncoder` does."""

    def states(self, texts: Sequence[str], blocks: int) -> list[Floats]:
        """Texts [n] → n of float32 [l · width]; an empty text has no tokens."""
        ...


def token_reader(embed: object, text_blocks: str) -> Tokens | None:
    """What reads texts as states that enter the blocks of this configuration; None where there is none.

    Raises:
        BaseError: the text encoder cannot.
    """
    if not text_blocks:
        return None
    if not isinstance(embed, TokenReader):
        raise BaseError(f"text encoder: expected token states for the adapted blocks, got {embed!r} without")
    return partial(embed.states, blocks=blocks_in(text_blocks))


class TokenStates:
    """The states of each row's tokens; none at first."""

    def __init__(self, capacity: int, width: int) -> None:
        self._width = width
        self._none = np.zeros((0, width), np.float32)
        self._of = [self._none] * capacity

    def put(self, row: int, states: Floats) -> None:
        """Take a row's states, float32 [l · width]."""
        self._of[row] = states.reshape(-1, self._width)

    def clear(self, rows: NDArray[np.integer]) -> None:
        """Let rows have none."""
        for row in rows.tolist():
            self._of[row] = self._none

    def move(self, rows: NDArray[np.integer], to: NDArray[np.integer]) -> None:
        """Put what stands in `rows` where `to` says, 0 for nowhere; nothing else stays."""
        kept = [self._of[row] for row in rows.tolist()]
        self._of = [self._none] * len(self._of)
        for row, states in zip(to.tolist(), kept, strict=True):
            if row:
                self._of[row] = states

    def at(self, rows: NDArray[np.integer]) -> Floats:
        """The states of rows [n], float32 [n, l, width] for the longest's l tokens; zero behind the last."""
        return padded([self._of[row] for row in rows.tolist()], self._width)


def padded(each: Sequence[Floats], width: int) -> Floats:
    """States side by side, float32 [n, l, width], zero behind the last of each.

    >>> padded([np.ones(4, np.float32), np.zeros(0, np.float32)], 2).tolist()
    [[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]
    """
    longest = max((one.size // width for one in each), default=0)
    out = np.zeros((len(each), longest, width), np.float32)
    for row, one in zip(out, each, strict=True):
        row[: one.size // width] = one.reshape(-1, width)
    return out
