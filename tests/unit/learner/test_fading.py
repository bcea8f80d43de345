"""The session encoder without layers: what it reads of a session, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import torch

from learner.batching import Batch, collate
from learner.catalogue import Catalogue, Keys
from learner.encoding import Encoded
from learner.fading import FadingSession
from learner.features import FEATURES
from learner.ranker import Ranker, RankerSettings
from learner.rows import Vocabulary

WIDTH = 4
SHAPE = RankerSettings(width=WIDTH, text_width=4, items=16, users=4, attributes=16, contexts=4)


def catalogue() -> Catalogue:
    vocabulary = Vocabulary(SHAPE.capacities(), {"items": list("abcdef")})
    return Catalogue(vocabulary, Keys(), 4, lambda texts: np.zeros((len(texts), 4), np.float32))


def encoded(session: list[int], satisfactions: list[int]) -> Encoded:
    nothing = np.zeros(len(session), np.int8)
    return Encoded(
        user=1,
        context=1,
        query=np.zeros(0, np.float32),
        session=np.array(session, np.int32),
        actions=nothing,
        satisfactions=np.array(satisfactions, np.int8),
        ages=nothing,
        rows=np.array([6], np.int32),
        features=np.zeros((1, FEATURES), np.float32),
    )


def batch(*sessions: tuple[list[int], list[int]]) -> Batch:
    return collate([encoded(*session) for session in sessions], catalogue())


def states(encoder: FadingSession, read: Batch) -> torch.Tensor:
    tokens = torch.eye(16)[:, :WIDTH][read.item_rows][read.session]
    with torch.no_grad():
        state: torch.Tensor = encoder(tokens, read, torch.zeros(len(read.users), WIDTH))
    return state


def test_a_session_means_the_same_whatever_it_is_batched_with() -> None:
    torch.manual_seed(0)
    encoder = FadingSession(WIDTH).eval()
    short, long = ([1, 2], [5, 1]), ([3, 1, 2, 2, 3], [1, 5, 5, 0, 2])
    together = states(encoder, batch(short, long, ([], [])))
    torch.testing.assert_close(together[:1], states(encoder, batch(short)))
    torch.testing.assert_close(together[2:], states(encoder, batch(([], []))))


def test_order_satisfaction_and_items_of_a_session_each_count() -> None:
    torch.manual_seed(0)
    encoder = FadingSession(WIDTH).eval()
    variants = [([1, 2], [5, 1]), ([2, 1], [5, 1]), ([1, 2], [5, 5]), ([1, 3], [5, 1]), ([], [])]
    found = states(encoder, batch(*variants))
    assert torch.pdist(found).min() > 1e-3


def moved_items(ranker: Ranker) -> list[int]:
    """Rows of the id table that get a gradient from one candidate, 6, and a session of 1 and 2."""
    torch.nn.init.normal_(ranker.heads.project.weight)
    torch.nn.init.ones_(ranker.tower.norm.bias)  # items without text and attributes would all be zero
    ranker(batch(([1, 2], [5, 5]))).sum().backward()
    gradient = ranker.tower.ids.weight.grad
    assert gradient is not None
    return gradient.abs().sum(1).nonzero().flatten().tolist()


def test_an_update_moves_the_rows_of_candidates_alone() -> None:
    torch.manual_seed(0)
    assert moved_items(Ranker(SHAPE)) == [6]


def test_with_layers_it_is_a_transformer_that_moves_the_session_too() -> None:
    torch.manual_seed(0)
    assert moved_items(Ranker(replace(SHAPE, width=8, layers=1, heads=2))) == [1, 2, 6]
