"""The states computed here are Hugging Face's, and the merged product's gradients are those of its parts."""

import pytest
import torch
from torch import nn
from transformers import AutoModel, GPT2Config, LlamaConfig

from learner.adapter import adapt, low_rank_layers, together
from learner.backbone import causal_backbone, last_states
from learner.product import low_rank_product

LAST = torch.tensor([0, 3, 11, 5, 7])


def asked_itself(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    states = model(inputs_embeds=tokens, use_cache=False).last_hidden_state
    return states[torch.arange(len(tokens)), LAST]


def with_adapter(model: nn.Module) -> nn.Module:
    adapt(model, 3, 1.0, torch.Generator().manual_seed(0), lambda _, layer: isinstance(layer, nn.Linear))
    for layer in low_rank_layers(model).values():
        nn.init.normal_(layer.lam)
    return model


@pytest.mark.parametrize("layers", [1, 3])
def test_states_and_gradients_are_those_of_hugging_face(layers: int) -> None:
    torch.manual_seed(0)
    model = with_adapter(causal_backbone(width=16, layers=layers, heads=4, length=12)).eval()
    tokens = torch.randn(len(LAST), 12, 16, requires_grad=True)
    wanted = [
        tokens,
        *(p for layer in low_rank_layers(model).values() for p in (layer.P, layer.lam, layer.Q)),
    ]
    own, theirs = last_states(model, tokens, LAST), asked_itself(model, tokens)
    torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-5)
    for ours, other in zip(
        torch.autograd.grad(own.square().sum(), wanted),
        torch.autograd.grad(theirs.square().sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(vocab_size=1, n_embd=16, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=None),
        LlamaConfig(
            vocab_size=1,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        ),
    ],
    ids=["gpt2", "grouped-query llama"],
)
def test_any_other_model_is_asked_itself(config) -> None:
    model = AutoModel.from_config(config).eval()
    tokens = torch.randn(len(LAST), 12, 16)
    torch.testing.assert_close(last_states(model, tokens, LAST), asked_itself(model, tokens))


def test_what_stands_behind_the_last_token_is_not_read() -> None:
    model = causal_backbone(width=16, layers=2, heads=4, length=12).eval()
    tokens = torch.randn(len(LAST), 12, 16)
    before = last_states(model, tokens, LAST)
    beyond = torch.arange(12) > LAST[:, None]
    torch.testing.assert_close(last_states(model, tokens.masked_fill(beyond[..., None], 9.0), LAST), before)


def test_the_merged_product_has_the_gradients_of_its_parts() -> None:
    x, P, a, Q = (
        torch.randn(*shape, dtype=torch.double, requires_grad=True)
        for shape in ((2, 5, 4), (6, 3), (3,), (3, 4))
    )
    weight = torch.randn(6, 4, dtype=torch.double)
    assert torch.autograd.gradcheck(
        lambda *given: low_rank_product(given[0], weight, *given[1:]), (x, P, a, Q)
    )


@pytest.mark.parametrize("adapted", [True, False])
def test_layers_together_give_what_each_gives(adapted: bool) -> None:
    layers = nn.ModuleList(nn.Linear(8, width, bias=False) for width in (4, 6))
    if adapted:
        with_adapter(layers)
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(together(list(layers), x), torch.cat([layer(x) for layer in layers], -1))


def test_in_half_precision_gradients_are_nearly_those_of_full_and_as_wide_as_the_weights() -> None:
    torch.manual_seed(0)
    model = with_adapter(causal_backbone(width=16, layers=2, heads=4, length=12)).eval()
    tokens = torch.randn(len(LAST), 12, 16)
    moved = [p for layer in low_rank_layers(model).values() for p in (layer.P, layer.lam, layer.Q)]
    wanted = torch.randn(len(LAST), 16)
    full = torch.autograd.grad((last_states(model, tokens, LAST) * wanted).sum(), moved)
    with torch.autocast("cpu", torch.bfloat16):
        states = last_states(model, tokens, LAST).float()
    half = torch.autograd.grad((states * wanted).sum(), moved)
    assert all(one.dtype == torch.float32 for one in half)
    known, seen = (torch.cat([one.flatten() for one in of]) for of in (full, half))
    assert torch.cosine_similarity(known, seen, dim=0) > 0.99
