from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor, nn

from learner.adapter import (
    LowRankEmbedding,
    LowRankLinear,
    adapt,
    adapter_state,
    load_adapter_state,
    low_rank_layers,
)
from learner.allocation import Allocator, clear_moments, orthogonal_to
from learner.budget import HorizonFreeBudget
from schemas.errors import SettingsError, SnapshotError

RANK, BETA, EVERY, BATCH = 4, 0.9, 5, 16
BUDGET = HorizonFreeBudget(initial=12, target=8, descent_examples=20 * BATCH, exchange=0.25)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(50, 8)
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 1)
        self.unused = nn.Linear(8, 8)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(self.items(ids))))[:, 0]


class Run:
    """The learner's step in small: model, optimisers and allocator over a planted world."""

    def __init__(self, adapted: Sequence[str] = ("items", "body", "head")) -> None:
        torch.manual_seed(0)
        self.model = Tiny().requires_grad_(False)
        adapt(self.model, RANK, 1.0, torch.Generator().manual_seed(1), lambda name, _: name in adapted)
        self.layers = low_rank_layers(self.model)
        rows = [layer.a for layer in self.layers.values() if isinstance(layer, LowRankEmbedding)]
        dense = [p for p in self.model.parameters() if p.requires_grad and all(p is not row for row in rows)]
        self.optimizers = [torch.optim.Adam(dense, lr=0.02), torch.optim.SparseAdam(rows, lr=0.02)]
        self.allocator = Allocator(self.layers, BUDGET, beta1=BETA, beta2=BETA)

    def steps(self, first: int, last: int) -> None:
        for number in range(first, last):
            self.step(number)

    def step(self, number: int) -> None:
        self.backward(number)
        self.allocator.observe()
        for optimizer in self.optimizers:
            optimizer.step()
        self.allocator.mask()
        self.allocator.advance(BATCH)
        if (number + 1) % EVERY == 0:
            self.reallocate()

    def backward(self, number: int) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        ids = torch.randint(0, 50, (BATCH,), generator=torch.Generator().manual_seed(number))
        clicked = (ids % 3 == 0).float()
        nn.functional.binary_cross_entropy_with_logits(self.model(ids), clicked).backward()

    def reallocate(self) -> None:
        changed = self.allocator.allocate().changed
        for optimizer in self.optimizers:
            clear_moments(optimizer, self.layers, changed)

    def save(self) -> dict[str, object]:
        return {
            "weights": save(adapter_state(self.model)),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "allocator": save(self.allocator.snapshot()),
        }

    def load(self, saved: dict[str, object]) -> None:
        load_adapter_state(self.model, load(saved["weights"]))
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.allocator.restore(load(saved["allocator"]))


def n_live(allocator: Allocator) -> int:
    return sum(int(mask.sum()) for mask in allocator.live.values())


def reference_importance(gradients: list[dict[str, Tensor]], weights: list[dict[str, Tensor]]) -> Tensor:
    """The paper's equations, weight by weight, for one linear layer."""
    mean = {name: torch.zeros_like(w) for name, w in weights[0].items()}
    spread = {name: torch.zeros_like(w) for name, w in weights[0].items()}
    for g, w in zip(gradients, weights, strict=True):
        for name in w:
            seen = (w[name] * g[name]).abs()
            mean[name] = BETA * mean[name] + (1 - BETA) * seen
            spread[name] = BETA * spread[name] + (1 - BETA) * (seen - mean[name]).abs()
    s = {name: mean[name] * spread[name] for name in mean}
    return s["lam"] + s["P"].mean(0) + s["Q"].mean(1)


def test_importance_is_the_papers() -> None:
    run, gradients, weights = Run(), [], []
    for number in range(4):
        run.backward(number)
        run.allocator.observe()
        own = dict(run.model.body.named_parameters(recurse=False))
        gradients.append({name: p.grad.clone() for name, p in own.items()})
        weights.append({name: p.detach().clone() for name, p in own.items()})
        for optimizer in run.optimizers:
            optimizer.step()
    torch.testing.assert_close(run.allocator.importance["body"], reference_importance(gradients, weights))


def test_importance_of_a_table_averages_over_touched_rows_only() -> None:
    def importance(rows: int) -> Tensor:
        layer = LowRankEmbedding(nn.Embedding(rows, 6), 3, torch.Generator().manual_seed(0))
        with torch.no_grad():
            layer.base.weight.fill_(0.5)
            layer.a[:4] = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
        allocator = Allocator({"table": layer}, BUDGET)
        layer(torch.tensor([0, 2, 2])).square().sum().backward()
        allocator.observe()
        return allocator.importance["table"]

    few = importance(4)
    assert few.all()
    torch.testing.assert_close(importance(4000), few)


def test_a_layer_without_gradient_does_not_stop_the_allocator() -> None:
    run = Run(adapted=("items", "body", "head", "unused"))
    run.steps(0, 30)
    assert not run.allocator.importance["unused"].any()
    assert not run.allocator.live["unused"].any()
    assert n_live(run.allocator) == BUDGET.target


def test_the_budget_descends_is_held_and_survives_a_reset() -> None:
    run = Run()
    run.steps(0, 5)
    assert n_live(run.allocator) == run.allocator.places
    run.steps(5, 60)
    assert n_live(run.allocator) == BUDGET.target
    run.allocator.reset()
    run.steps(60, 61)
    run.reallocate()
    assert n_live(run.allocator) == run.allocator.places > BUDGET.target


def test_what_is_published_between_allocations_is_masked() -> None:
    run = Run()
    for number in range(33):
        run.step(number)
        for name, mask in run.allocator.live.items():
            assert not run.layers[name].lam[~mask].any()
    served = Run()
    load_adapter_state(served.model, load(save(adapter_state(run.model))))
    ids = torch.arange(50)
    assert torch.equal(served.model(ids), run.model(ids))


@pytest.mark.parametrize("at", [3, 10, 27, 45])
def test_resuming_equals_running_through(at: int) -> None:
    through, stopped, resumed = Run(), Run(), Run()
    through.steps(0, 60)
    stopped.steps(0, at)
    resumed.load(stopped.save())
    resumed.steps(at, 60)
    own = resumed.allocator.snapshot()
    for name, tensor in through.allocator.snapshot().items():
        assert torch.equal(tensor, own[name]), name
    weights = adapter_state(resumed.model)
    for name, tensor in adapter_state(through.model).items():
        assert torch.equal(tensor, weights[name]), name


def test_a_snapshot_is_not_moved_by_later_steps() -> None:
    run = Run()
    run.steps(0, 7)
    taken = run.allocator.snapshot()
    copies = {name: tensor.clone() for name, tensor in taken.items()}
    run.steps(7, 20)
    assert all(torch.equal(taken[name], copies[name]) for name in taken)


def test_a_foreign_snapshot_is_refused_whole() -> None:
    run, other = Run(), Run(adapted=("items", "body"))
    other.steps(0, 5)
    with pytest.raises(SnapshotError, match=r"allocator sensitivity: expected shape \[\d+\], got \[\d+\]"):
        run.allocator.restore(other.allocator.snapshot())
    with pytest.raises(SnapshotError, match="got nothing"):
        run.allocator.restore({})


def test_an_allocator_needs_something_to_allocate() -> None:
    with pytest.raises(SettingsError, match="at least one adapted layer"):
        Allocator({}, BUDGET)


def pruned_and_wanted() -> tuple[LowRankLinear, Allocator, Tensor]:
    """A layer in steady state whose dead triplet 0 is exactly what the loss asks for."""
    layer = LowRankLinear(nn.Linear(10, 10, bias=False), 3, 1.0, torch.Generator().manual_seed(0))
    budget = HorizonFreeBudget(initial=3, target=2, descent_examples=1, exchange=0.5)
    allocator = Allocator({"layer": layer}, budget, beta1=BETA, beta2=BETA)
    with torch.no_grad():
        layer.lam.copy_(torch.tensor([0.0, 1.0, 0.5]))
    wanted = torch.outer(layer.P[:, 0], layer.Q[0]).detach()
    (layer(torch.eye(10)).T * -wanted).sum().backward()
    allocator.advance(1)
    allocator.observe()
    assert allocator.allocate().pruned["layer"].tolist() == [True, False, False]
    return layer, allocator, wanted


def test_a_dead_triplet_is_regrown_by_the_gradient_of_its_lambda() -> None:
    layer, allocator, wanted = pruned_and_wanted()
    for parameter in (layer.P, layer.lam, layer.Q):
        parameter.grad = None
    (layer(torch.eye(10)).T * -wanted).sum().backward()
    assert layer.lam.grad[0].abs() > 0.1
    allocator.observe()
    assert allocator.importance["layer"][0] == 0  # by importance it would stay dead for ever
    changed = allocator.allocate()
    assert changed.regrown["layer"].tolist() == [True, False, False]
    assert changed.live["layer"].sum() == 2
    assert layer.lam[0] == 0


def test_a_regrown_triplet_is_orthogonal_to_the_live_and_keeps_its_direction() -> None:
    layer, allocator, wanted = pruned_and_wanted()
    old = layer.Q[0].detach().clone()
    (layer(torch.eye(10)).T * -wanted).sum().backward()
    allocator.observe()
    live = allocator.allocate().live["layer"]
    for directions in (layer.Q[live], layer.P.mT[live]):
        gram = directions @ directions.T
        assert gram[0, 0].item() == pytest.approx(1, abs=1e-5)
        assert gram[0, 1].abs() < 1e-5
    assert torch.cosine_similarity(layer.Q[0], old, dim=0) > 0.5


def test_regrowth_does_not_move_the_output() -> None:
    layer, allocator, wanted = pruned_and_wanted()
    (layer(torch.eye(10)).T * -wanted).sum().backward()
    allocator.observe()
    stayed = allocator.live["layer"].clone()
    change = allocator.allocate()
    stayed &= ~change.pruned["layer"]
    expected = layer.base.weight + (layer.P[:, stayed] * layer.lam[stayed]) @ layer.Q[stayed]
    torch.testing.assert_close(layer(torch.eye(10)), expected.T)


def test_a_regrown_triplet_starts_without_a_past() -> None:
    layer, allocator, wanted = pruned_and_wanted()
    with torch.no_grad():
        layer.lam[0] = 1  # so that what it is given as a past is not zero
    (layer(torch.eye(10)).T * -wanted).sum().backward()
    allocator.observe()
    assert allocator.importance["layer"][0] > 0
    assert allocator.allocate().regrown["layer"][0]
    assert allocator.importance["layer"][0] == 0
    assert allocator.importance["layer"][allocator.live["layer"]].any()


def test_pull_is_that_of_the_window_since_the_last_allocation() -> None:
    layer, allocator, wanted = pruned_and_wanted()
    assert not allocator.allocate().regrown["layer"].any()
    (layer(torch.eye(10)).T * -wanted).sum().backward()
    allocator.observe()
    assert allocator.allocate().regrown["layer"].any()


def test_moments_of_a_changed_triplet_are_cleared_and_no_others() -> None:
    run = Run()
    run.steps(0, 3)
    changed = {
        "items": torch.tensor([False, True, False, False]),
        "body": torch.tensor([True, False, False, True]),
    }
    before = run.optimizers[0].state[run.model.body.P]["exp_avg"].clone()
    for optimizer in run.optimizers:
        clear_moments(optimizer, run.layers, changed)
    dense, sparse = (optimizer.state for optimizer in run.optimizers)
    after = dense[run.model.body.P]["exp_avg"]
    assert not after[:, [0, 3]].any()
    assert torch.equal(after[:, [1, 2]], before[:, [1, 2]])
    assert before[:, [0, 3]].any()
    assert not dense[run.model.body.Q]["exp_avg_sq"][[0, 3]].any()
    assert not dense[run.model.items.lam]["exp_avg"][1]
    assert not sparse[run.model.items.a]["exp_avg"][:, 1].any()
    assert dense[run.model.body.P]["step"] == 3


@given(dim=st.integers(1, 12), data=st.data(), seed=st.integers(0, 2**31))
def test_orthogonal_to_is_orthonormal(dim: int, data: st.DataObject, seed: int) -> None:
    new = data.draw(st.integers(0, dim))
    old = data.draw(st.integers(0, dim - new))
    generator = torch.Generator().manual_seed(seed)
    others, directions = (
        torch.randn(old, dim, generator=generator),
        torch.randn(new, dim, generator=generator),
    )
    turned = orthogonal_to(directions, others)
    torch.testing.assert_close(turned @ turned.T, torch.eye(new), atol=1e-4, rtol=0)
    torch.testing.assert_close(turned @ others.T, torch.zeros(new, old), atol=1e-4, rtol=0)


def test_a_direction_with_nothing_left_becomes_a_free_one() -> None:
    others = torch.eye(4)[:2]
    turned = orthogonal_to(others[:1].clone(), others)
    assert turned.norm().item() == pytest.approx(1)
    torch.testing.assert_close(turned @ others.T, torch.zeros(1, 2))


def test_without_room_directions_stay_as_they_are() -> None:
    directions = torch.ones(1, 2)
    assert torch.equal(orthogonal_to(directions, torch.eye(2)), directions)
