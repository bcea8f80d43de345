"""The transformer's pass over sessions in parts of one shape, compiled: one graph serves whatever comes."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from learner.backbone import Pass, last_states
from learner.ranker import Ranker, SessionEncoder

ROWS: Final = 64
"""Sessions in a part. The last part is filled up: with more of them, small updates would waste more."""


def compile_session(ranker: Ranker) -> None:
    """Let the ranker's transformer, if it has one, learn by a compiled graph; where it only scores, as it is.

    The graph is made, in some ten seconds, when the first update asks for it.
    """
    if not isinstance(ranker.session, SessionEncoder):
        return
    learn = in_one_shape(torch.compile(last_states, dynamic=False), ranker.settings.tokens)

    def run(model: nn.Module, tokens: Tensor, last: Tensor) -> Tensor:
        return (learn if torch.is_grad_enabled() else last_states)(model, tokens, last)

    ranker.session.run = run


def in_one_shape(run: Pass, length: int) -> Pass:
    """Let `run` see nothing but [ROWS, length, d], however many sessions there are and how long they are.

    torch makes a graph for each shape that it meets, while labels wait. A graph for several shapes depends on
    which came first: a learner that was restored would end with other weights than one that never stopped.
    """

    def run_in_parts(model: nn.Module, tokens: Tensor, last: Tensor) -> Tensor:
        rows = -len(tokens) % ROWS
        filled = functional.pad(tokens, (0, 0, 0, length - tokens.shape[1], 0, rows))
        ends = functional.pad(last, (0, rows))
        parts = zip(torch.split(filled, ROWS), torch.split(ends, ROWS), strict=True)
        return torch.cat([run(model, *part) for part in parts])[: len(tokens)]

    return run_in_parts
