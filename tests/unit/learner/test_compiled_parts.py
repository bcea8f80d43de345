"""Sessions read in parts of one shape are read as they are."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.backbone import causal_backbone, last_states
from learner.compiled_pass import ROWS, in_one_shape

LENGTH = 10


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 2 * ROWS + 1), length=st.integers(1, LENGTH))
def test_parts_give_the_states_and_gradients_of_the_whole(rows: int, length: int) -> None:
    torch.manual_seed(0)
    model = causal_backbone(width=16, layers=2, heads=4, length=LENGTH).eval()
    tokens = torch.randn(rows, length, 16, requires_grad=True)
    last, wanted = torch.randint(length, (rows,)), torch.randn(rows, 16)
    shapes = []

    def seen(one: torch.nn.Module, part: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        shapes.append((*part.shape, *ends.shape))
        return last_states(one, part, ends)

    found = []
    for run in (last_states, in_one_shape(seen, LENGTH)):
        states = run(model, tokens, last)
        gradients = torch.autograd.grad((states * wanted).sum(), [tokens, *model.layers.parameters()])
        found.append([states, *gradients])
    assert set(shapes) == {(ROWS, LENGTH, 16, ROWS)}
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
