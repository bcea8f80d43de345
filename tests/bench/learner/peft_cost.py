"""Against peft: one update of the session encoder, at the same layers, ranks and batch, beside its AdaLoRA.

What is timed, alike on both sides: gradients to zero, forward from token vectors to the loss on the last
state, backward, AdamW (fused), importance, allocation and mask. Not timed: making the batch. Neither side has
the orthogonality term, which peft adds to a loss that the model itself computes, and to no other.

Ours goes forward as the learner does: in the last layer it computes the one state that is asked for. A third
arm has our layers under Hugging Face's forward, which peft has, too: what is left then is the layers' own.
"""

import copy
from collections.abc import Callable, Iterator
from time import process_time

import peft
import torch
from torch import Tensor, nn

from learner.adapter import LowRankLinear, adapt, low_rank_layers
from learner.allocation import Allocator
from learner.backbone import causal_backbone, last_states
from learner.budget import FiniteBudget
from tests.bench.report import Figure

BATCH, LENGTH, WIDTH, RANK, TARGET, ALPHA, BETA = 256, 50, 128, 6, 4, 6, 0.85
T_INIT, T_FINAL, TOTAL, EVERY = 4, 10, 40, 3
NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


Forward = Callable[[nn.Module, Tensor, Tensor], Tensor]


def _whole(model: nn.Module, tokens: Tensor, last: Tensor) -> Tensor:
    """Hugging Face's forward: every state, of which one is taken."""
    states: Tensor = model(inputs_embeds=tokens, use_cache=False).last_hidden_state
    return states[torch.arange(len(tokens)), last]


class _Peft:
    """Hugging Face's forward with peft's AdaLoRA in it, and its allocator."""

    def __init__(self, model: nn.Module) -> None:
        config = peft.AdaLoraConfig(
            target_modules=list(NAMES),
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
        self.model = peft.get_peft_model(copy.deepcopy(model), config)
        self._optimiser = _optimiser(self.model)

    def update(self, step: int, tokens: Tensor, last: Tensor, wanted: Tensor) -> None:
        self._optimiser.zero_grad()
        _loss(_whole(self.model, tokens, last), wanted).backward()
        self._optimiser.step()
        self.model.base_model.update_and_allocate(step)

    def triplets(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        layers = [layer for layer in self.model.modules() if hasattr(layer, "lora_E")]
        return [
            (layer.lora_B["default"], layer.lora_E["default"][:, 0], layer.lora_A["default"])
            for layer in layers
        ]


class _Ours:
    """The same with this project's layers, which start from peft's directions, and a `forward` of its own."""

    def __init__(self, model: nn.Module, theirs: _Peft, forward: Forward) -> None:
        self.model, self._forward = copy.deepcopy(model), forward
        # peft divides by rank + 1e-5, not by rank.
        adapt(
            self.model,
            RANK,
            ALPHA / (RANK + 1e-5),
            torch.Generator(),
            lambda *of: isinstance(of[1], nn.Linear),
        )
        self._layers = low_rank_layers(self.model)
        with torch.no_grad():
            for layer, (P, lam, Q) in zip(self._layers.values(), theirs.triplets(), strict=True):
                assert isinstance(layer, LowRankLinear)
                layer.P.copy_(P)
                layer.lam.copy_(lam)
                layer.Q.copy_(Q)
        places = len(self._layers)
        budget = FiniteBudget(
            initial=RANK * places, target=TARGET * places, t_init=T_INIT, t_final=T_FINAL, total=TOTAL
        )
        self._allocator = Allocator(self._layers, budget, BETA, BETA)
        self._optimiser = _optimiser(self.model)

    def update(self, step: int, tokens: Tensor, last: Tensor, wanted: Tensor) -> None:
        self._optimiser.zero_grad()
        _loss(self._forward(self.model, tokens, last), wanted).backward()
        self._optimiser.step()
        self._allocate(step)

    def _allocate(self, step: int) -> None:
        """As peft does: importance after the optimiser's step, masks at the same steps."""
        self._allocator.advance(1)
        if step < TOTAL - T_FINAL:
            self._allocator.observe()
        if step == TOTAL - T_FINAL or (T_INIT < step < TOTAL - T_FINAL and step % EVERY == 0):
            self._allocator.allocate()
        elif step > TOTAL - T_FINAL:
            self._allocator.mask()

    def differs(self, theirs: _Peft) -> float:
        """The largest difference of any weight; infinite where the masks differ."""
        differences = []
        for layer, (P, lam, Q) in zip(self._layers.values(), theirs.triplets(), strict=True):
            assert isinstance(layer, LowRankLinear)
            if not torch.equal(layer.lam == 0, lam == 0):
                return float("inf")
            pairs = ((layer.P, P), (layer.lam, lam), (layer.Q, Q))
            differences += [float((own - other).detach().abs().max()) for own, other in pairs]
        return max(differences)


Arms = tuple[_Peft, _Ours, _Ours]


def peft_cost(short: bool) -> Iterator[Figure]:
    """All by turns on the same batches over one finite horizon; CPU time on one thread."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = causal_backbone(WIDTH, 2, 4, LENGTH).requires_grad_(False)
    theirs = _Peft(model)
    arms = (theirs, _Ours(model, theirs, last_states), _Ours(model, theirs, _whole))
    spent, apart = _updates(arms, TOTAL - (4 if short else 20))
    of_theirs, of_ours, of_layers = spent
    what = f"{len(NAMES)} matrices × 2 layers, rank {RANK}, batch {BATCH} × {LENGTH}"
    pairs = (
        (f"our update over peft's: {what}", of_ours, 0.5),
        ("the same, Hugging Face's forward on both sides", of_layers, None),
    )
    for name, own, bar in pairs:
        ratios = [one / other for one, other in zip(own, of_theirs, strict=True)]
        yield Figure(row="peft", what=name, unit="×", runs=ratios, bar=bar, at_most=True)
    names = ("peft's, CPU", "ours, CPU", "ours under Hugging Face's forward, CPU")
    for name, runs in zip(names, spent, strict=True):
        yield Figure(row="peft", what=name, unit="ms", runs=runs)
    note = "over the whole horizon; infinite had a mask differed"
    what = "largest difference of a weight"
    yield Figure(row="peft", what=what, unit="", runs=[apart], bar=1e-5, at_most=True, note=note)


def _updates(arms: Arms, small: int) -> tuple[tuple[list[float], ...], float]:
    """CPU milliseconds of every update but the first `small`, by arm, and the largest difference by the end.

    The first ones have batches of eight: the whole horizon is compared, not all of it timed. Who begins
    changes.
    """
    theirs, *ours = arms
    generator = torch.Generator().manual_seed(1)
    spent: tuple[list[float], ...] = tuple([] for _ in arms)
    apart = 0.0
    for step in range(1, TOTAL + 1):
        rows = BATCH if step > small else 8
        tokens = torch.randn(rows, LENGTH, WIDTH, generator=generator)
        wanted = torch.randn(rows, WIDTH, generator=generator)
        last = torch.full((rows,), LENGTH - 1)
        for place in range(len(arms)):
            number = (place + step) % len(arms)
            before = process_time()
            arms[number].update(step, tokens, last, wanted)
            if rows == BATCH:
                spent[number].append(1e3 * (process_time() - before))
        apart = max(apart, *(one.differs(theirs) for one in ours))
    return spent, apart


def _optimiser(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.003, fused=True)


def _loss(states: Tensor, wanted: Tensor) -> Tensor:
    return (states - wanted).square().sum(1).mean()
