"""On a finite run, masks and weights are those of peft's AdaLoRA."""

import copy
from collections.abc import Iterator

import peft
import pytest
import torch
from torch import Tensor, nn

from learner.adapter import LowRankLinear, adapt, low_rank_layers
from learner.allocation import Allocator
from learner.budget import FiniteBudget

RANK, TARGET, ALPHA, BETA = 6, 2, 8, 0.85
T_INIT, T_FINAL, TOTAL, EVERY = 8, 15, 80, 3
DIM = 12


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(DIM, 20)
        self.second = nn.Linear(20, DIM)
        self.head = nn.Linear(DIM, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


def peft_network(base: Network) -> peft.PeftModel:
    config = peft.AdaLoraConfig(
        target_modules=["first", "second", "head"],
        init_r=RANK,
        target_r=TARGET,
        lora_alpha=ALPHA,
        tinit=T_INIT,
        tfinal=T_FINAL,
        total_step=TOTAL,
        deltaT=EVERY,
        beta1=BETA,
        beta2=BETA,
    )
    return peft.get_peft_model(copy.deepcopy(base), config)


def own_network(base: Network, theirs: peft.PeftModel) -> Network:
    own = copy.deepcopy(base)
    # peft divides by rank + 1e-5, not by rank.
    adapt(own, RANK, ALPHA / (RANK + 1e-5), torch.Generator(), lambda *_: True)
    with torch.no_grad():
        for layer, (a, e, b) in zip(low_rank_layers(own).values(), peft_triplets(theirs), strict=True):
            layer.P.copy_(b)
            layer.lam.copy_(e[:, 0])
            layer.Q.copy_(a)
    return own


def peft_triplets(theirs: peft.PeftModel) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    for name in ("first", "second", "head"):
        layer = getattr(theirs.base_model.model, name)
        yield layer.lora_A["default"], layer.lora_E["default"], layer.lora_B["default"]


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    truth = torch.randn(DIM, 3, generator=generator)
    for _ in range(TOTAL):
        x = torch.randn(32, DIM, generator=generator)
        yield x, (x @ truth).sigmoid()


def backward(model: nn.Module, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
    optimizer.step()


def allocate_like_peft(allocator: Allocator, step: int) -> None:
    """The same calls at the same steps: importance after the optimiser's step, masks each third one."""
    allocator.advance(1)
    if step < TOTAL - T_FINAL:
        allocator.observe()
    if step == TOTAL - T_FINAL or (T_INIT < step < TOTAL - T_FINAL and step % EVERY == 0):
        allocator.allocate()
    elif step > TOTAL - T_FINAL:
        allocator.mask()


@pytest.mark.parametrize(
    "optimiser", [lambda p: torch.optim.AdamW(p, lr=0.01), lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9)]
)
def test_masks_and_weights_agree_over_a_finite_run(optimiser) -> None:
    torch.manual_seed(0)
    base = Network()
    theirs = peft_network(base)
    own = own_network(base, theirs)
    layers = low_rank_layers(own)
    budget = FiniteBudget(initial=RANK * 3, target=TARGET * 3, t_init=T_INIT, t_final=T_FINAL, total=TOTAL)
    allocator = Allocator(layers, budget, beta1=BETA, beta2=BETA)
    their_optimizer = optimiser([p for p in theirs.parameters() if p.requires_grad])
    own_optimizer = optimiser([p for p in own.parameters() if p.requires_grad])
    alive = []

    for step, (x, y) in enumerate(batches(), start=1):
        backward(theirs, x, y, their_optimizer)
        theirs.base_model.update_and_allocate(step)
        backward(own, x, y, own_optimizer)
        allocate_like_peft(allocator, step)
        assert_agree(layers, theirs)
        alive.append(sum(int(mask.sum()) for mask in allocator.live.values()))

    assert alive[:T_INIT] == [RANK * 3] * T_INIT
    assert alive == sorted(alive, reverse=True)
    assert alive[-T_FINAL:] == [TARGET * 3] * T_FINAL


def assert_agree(layers: dict[str, LowRankLinear], theirs: peft.PeftModel) -> None:
    for layer, (a, e, b) in zip(layers.values(), peft_triplets(theirs), strict=True):
        assert torch.equal(layer.lam == 0, e[:, 0] == 0)
        torch.testing.assert_close(layer.lam, e[:, 0], rtol=0, atol=1e-5)
        torch.testing.assert_close(layer.Q, a, rtol=0, atol=1e-5)
        torch.testing.assert_close(layer.P, b, rtol=0, atol=1e-5)
