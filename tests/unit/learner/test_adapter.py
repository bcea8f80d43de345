import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor, nn

from learner.adapter import (
    DenseLinear,
    LowRankEmbedding,
    LowRankLinear,
    adapt,
    adapt_in_full,
    adapted_layers,
    adapter_state,
    load_adapter_state,
    low_rank_layers,
    orthogonality,
    orthogonality_weight,
    to_lora,
)
from schemas.errors import CheckpointRefused, SettingsError

SCALE = 0.5


class Tiny(nn.Module):
    """A table, two layers, and a layer that is left as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(30, 8, padding_idx=0)
        self.body = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.plain = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.plain(self.body(self.items(ids)))


def tiny(seed: int = 0, adapter_seed: int = 0) -> Tiny:
    torch.manual_seed(seed)
    model = Tiny()
    adapt(model, 4, SCALE, seeded(adapter_seed), lambda name, _: name != "plain")
    return model


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stir(layer: LowRankLinear | LowRankEmbedding, seed: int = 0) -> None:
    """As if trained: every triplet moved, and the second one pruned."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        layer.lam[1] = 0


IDS = torch.tensor([[0, 3, 5], [29, 3, 7]])


def test_an_adapter_at_birth_changes_nothing() -> None:
    torch.manual_seed(0)
    base = Tiny()
    torch.testing.assert_close(tiny()(IDS), base(IDS), rtol=0, atol=0)


def test_adapt_takes_what_the_predicate_takes_and_freezes_it() -> None:
    model = tiny()
    assert list(low_rank_layers(model)) == ["items", "body.0", "body.2"]
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == set(adapter_state(model)) | {"plain.weight", "plain.bias"}


def test_adapting_twice_does_not_adapt_the_frozen_base() -> None:
    model = tiny()
    adapt(model, 2, SCALE, seeded(1), lambda *_: True)
    assert isinstance(model.body[0].base, nn.Linear)


def test_a_shared_layer_stays_shared() -> None:
    shared = nn.Linear(4, 4)
    model = nn.ModuleList([nn.Sequential(shared), nn.Sequential(shared)])
    adapt(model, 2, SCALE, seeded(0), lambda *_: True)
    assert model[0][0] is model[1][0]
    assert len(low_rank_layers(model)) == 1


def test_the_same_seed_draws_the_same_adapter() -> None:
    first, second, other = (adapter_state(tiny(adapter_seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["body.0.P"], other["body.0.P"])


def test_linear_is_the_dense_formula() -> None:
    layer = LowRankLinear(nn.Linear(6, 5), 3, SCALE, seeded(0))
    stir(layer)
    x = torch.randn(2, 7, 6)
    weight = layer.base.weight + SCALE * layer.P @ torch.diag(layer.lam) @ layer.Q
    torch.testing.assert_close(layer(x), nn.functional.linear(x, weight, layer.base.bias))


def test_a_small_layer_is_the_base_at_birth_and_moves_in_full_at_the_first_step() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.SiLU(), nn.Linear(5, 2))
    x = torch.randn(3, 6)
    before = model(x)
    adapt_in_full(model, ["0"])
    layer = adapted_layers(model)["0"]
    assert isinstance(layer, DenseLinear)
    assert torch.equal(model(x), before)
    model(x).square().sum().backward()
    assert layer.delta.grad is not None
    assert torch.linalg.matrix_rank(layer.delta.grad) == len(x)
    assert layer.base.weight.grad is None
    assert list(adapter_state(model)) == ["0.delta"]


def test_lora_export_of_a_layer_that_moves_in_full_is_exact() -> None:
    layer = DenseLinear(nn.Linear(6, 5))
    with torch.no_grad():
        layer.delta.normal_(generator=seeded(0))
    a, b = to_lora(layer)
    x = torch.randn(9, 6)
    torch.testing.assert_close(layer.base(x) + x @ a.T @ b.T, layer(x))


@given(rows=st.integers(1, 40), width=st.integers(1, 12), data=st.data(), seed=st.integers(0, 2**31))
def test_embedding_is_the_dense_formula(rows: int, width: int, data: st.DataObject, seed: int) -> None:
    rank = data.draw(st.integers(1, width))
    ids = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), max_size=10)), dtype=torch.int64)
    layer = LowRankEmbedding(nn.Embedding(rows, width), rank, seeded(seed))
    with torch.no_grad():
        layer.a.normal_(generator=seeded(seed))
        layer.lam.normal_(generator=seeded(seed + 1))
    table = layer.base.weight + layer.a @ torch.diag(layer.lam) @ layer.Q
    torch.testing.assert_close(layer(ids), table[ids], rtol=1e-4, atol=1e-4)


def test_gradient_of_rows_is_sparse_and_spares_padding() -> None:
    model = tiny()
    model(IDS).sum().backward()
    gradient = model.items.a.grad.coalesce()
    assert set(gradient.indices()[0].tolist()) == {3, 5, 7, 29}
    assert model.items.base.weight.grad is None


def test_directions_of_a_table_are_orthonormal_at_birth() -> None:
    layer = LowRankEmbedding(nn.Embedding(10, 16), 6, seeded(0))
    torch.testing.assert_close(layer.Q @ layer.Q.T, torch.eye(6))


def test_a_table_cannot_have_more_directions_than_its_width() -> None:
    with pytest.raises(SettingsError, match="expected 1 to 4, the table's width, got 5"):
        LowRankEmbedding(nn.Embedding(10, 4), 5, seeded(0))
    with pytest.raises(SettingsError, match="expected 1 or more, got 0"):
        LowRankLinear(nn.Linear(3, 3), 0, SCALE, seeded(0))


def test_state_saved_and_loaded_gives_the_same_output() -> None:
    trained, fresh = tiny(adapter_seed=1), tiny(adapter_seed=2)
    for seed, layer in enumerate(low_rank_layers(trained).values()):
        stir(layer, seed)
    assert not torch.equal(fresh(IDS), trained(IDS))
    load_adapter_state(fresh, load(save(adapter_state(trained))))
    assert torch.equal(fresh(IDS), trained(IDS))


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    model = tiny()
    before = {name: tensor.clone() for name, tensor in adapter_state(model).items()}
    strange = {name: torch.ones_like(tensor) for name, tensor in before.items()}
    with pytest.raises(CheckpointRefused, match=r"body.2.Q: expected shape \[4, 16\], got \[3, 16\]"):
        load_adapter_state(model, strange | {"body.2.Q": torch.ones(3, 16)})
    with pytest.raises(CheckpointRefused, match=r"differing names .*more"):
        load_adapter_state(model, strange | {"more.P": torch.ones(1)})
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapter_state(model).items())


def test_lora_export_of_a_linear_layer_is_exact() -> None:
    layer = LowRankLinear(nn.Linear(6, 5), 4, SCALE, seeded(0))
    stir(layer)
    a, b = to_lora(layer)
    assert (a.shape, b.shape) == ((3, 6), (5, 3))
    x = torch.randn(9, 6)
    torch.testing.assert_close(layer.base(x) + x @ a.T @ b.T, layer(x))


def test_lora_export_of_a_table_is_exact() -> None:
    layer = LowRankEmbedding(nn.Embedding(10, 6), 4, seeded(0))
    stir(layer)
    a, b = to_lora(layer)
    assert (a.shape, b.shape) == ((3, 10), (6, 3))
    torch.testing.assert_close(layer.base.weight + (b @ a).T, layer(torch.arange(10)))


def test_orthogonality_is_the_sum_over_all_matrices() -> None:
    layers = list(low_rank_layers(tiny()).values())
    for seed, layer in enumerate(layers):
        stir(layer, seed)
    expected = torch.zeros(())
    for layer in layers:
        for gram in [layer.Q @ layer.Q.T] + (
            [layer.P.T @ layer.P] if isinstance(layer, LowRankLinear) else []
        ):
            expected = expected + torch.linalg.matrix_norm(gram - torch.eye(4)) ** 2
    torch.testing.assert_close(orthogonality(layers), expected)


def test_orthogonality_falls_when_followed() -> None:
    layer = LowRankLinear(nn.Linear(16, 16), 4, SCALE, seeded(0))
    optimizer = torch.optim.SGD([layer.P, layer.Q], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        orthogonality([layer]).backward()
        optimizer.step()
    assert orthogonality([layer]).item() < 1e-6


def test_orthogonality_at_birth_is_small_and_scaled_to_the_task() -> None:
    layers = [LowRankLinear(nn.Linear(128, 128), 8, SCALE, seeded(seed)) for seed in range(6)]
    at_birth = orthogonality(layers).item() / 12
    assert at_birth == pytest.approx((8**2 + 8) / 128, rel=0.25)  # per matrix; peft's birth gives about 8
    weight = orthogonality_weight(layers, task_loss=0.693, share=0.05)
    assert weight * orthogonality(layers).item() == pytest.approx(0.05 * 0.693)
