"""One optimiser step: the one place that changes weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learner.adapter import adapt, low_rank_layers, orthogonality, orthogonality_weight
from learner.allocation import Allocator, clear_moments
from learner.batching import Example
from learner.budget import HorizonFreeBudget
from learner.knowledge import Knowledge
from learner.objective import example_loss
from learner.ranker import TABLES, Ranker
from learner.ranks import Ranks, share, sum_gradients
from schemas.errors import SnapshotError

_TASK_LOSS = 0.6
"""About a click's binary cross-entropy at birth: what the orthogonality term is measured against."""

_REFERENCE_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class UpdateSettings:
    """How the stream moves the adapter.

    Ranks are per layer; `step` and `row_step` are step sizes at a batch of 64 slates and per row.
    """

    rank: int = 6
    mean_rank: int = 4
    step: float = 1e-4
    row_step: float = 0.015
    replay: float = 0.5
    memory: int = 4_096
    memory_horizon: int = 16_384
    orthogonality: float = 0.05
    beta: float = 0.99
    allocate_every: int = 50
    descent_examples: int = 20_000
    exchange: float = 0.05
    clip: float = 5.0


def adapted(ranker: Ranker, rank: int, seed: int) -> Ranker:
    """Put low-rank layers over every linear layer and every growing table of a frozen ranker, in place."""
    generator = torch.Generator().manual_seed(seed)
    tasks = ranker.heads.intercept.numel()
    narrow = {
        name for name in TABLES if name.startswith("heads.")
    }  # one column a task: that is their full rank
    adapt(ranker, rank, 1.0, generator, lambda name, layer: _is_wide(name, layer) and name not in narrow)
    adapt(ranker, tasks, 1.0, generator, lambda name, _layer: name in narrow)
    ranker.heads.intercept.requires_grad_(True)
    return ranker


def _is_wide(name: str, layer: torch.nn.Module) -> bool:
    return isinstance(layer, torch.nn.Linear) or name in TABLES


class Updater:
    """Steps an adapted ranker: AdamW on P, Λ, Q; Adagrad on the touched rows of the tables."""

    def __init__(
        self,
        ranker: Ranker,
        knowledge: Knowledge,
        settings: UpdateSettings,
        device: torch.device | str,
        ranks: Ranks,
    ) -> None:
        self._ranker, self._knowledge, self._settings, self._device = ranker, knowledge, settings, device
        self._ranks = ranks
        self._layers = low_rank_layers(ranker)
        self._rows = [parameter for name, parameter in ranker.named_parameters() if name.endswith(".a")]
        skip = {id(parameter) for parameter in self._rows}
        self._dense = [p for p in ranker.parameters() if p.requires_grad and id(p) not in skip]
        self._adam = torch.optim.AdamW(
            self._dense, lr=settings.step, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self._adagrad = torch.optim.Adagrad(self._rows, lr=settings.row_step, initial_accumulator_value=0.1)
        triplets = sum(layer.lam.numel() for layer in self._layers.values())
        target = sum(min(layer.lam.numel(), settings.mean_rank) for layer in self._layers.values())
        budget = HorizonFreeBudget(
            initial=triplets,
            target=target,
            descent_examples=settings.descent_examples,
            exchange=settings.exchange,
        )
        self.allocator = Allocator(self._layers, budget, settings.beta, settings.beta)
        layers = self._layers.values()
        self._gamma = orthogonality_weight(layers, _TASK_LOSS, settings.orthogonality)
        self.steps = 0

    def step(self, fresh: Sequence[Example], replayed: Sequence[Example]) -> float:
        """Learn from fresh and replayed examples; returns the mean loss per unit of weight."""
        settings = self._settings
        examples = [*fresh, *replayed]
        cost, weight = self._backward(share(self._ranks, examples))
        self.allocator.observe()
        self._scale_step(len(examples))
        torch.nn.utils.clip_grad_norm_(self._dense, settings.clip * len(examples))
        self._adam.step()
        # torch wants to be told that it need not check the sparse gradients that it made itself.
        with torch.sparse.check_sparse_tensor_invariants(False):  # type: ignore[no-untyped-call]
            self._adagrad.step()
        self.allocator.mask()
        self.allocator.advance(len(fresh))
        self.steps += 1
        if self.steps % settings.allocate_every == 0:
            clear_moments(self._adam, self._layers, self.allocator.allocate().changed)
        return cost / weight if weight else 0.0

    def _backward(self, examples: Sequence[Example]) -> tuple[float, float]:
        """Leave the gradients of all ranks' examples, these being ours; returns their loss and weight."""
        self._ranker.zero_grad(set_to_none=True)
        penalty = self._gamma * orthogonality(self._layers.values())
        loss, weight = penalty.new_zeros(()), 0.0
        if examples:  # another rank may have some
            loss, weight = example_loss(self._ranker, self._knowledge, examples, self._device)
        # The sum, not the mean: a row's gradient must not depend on what else was in the batch.
        (weight * (loss + penalty)).backward()  # type: ignore[no-untyped-call]
        seen = torch.stack([loss.detach() * weight, loss.new_tensor(weight)])
        cost, weight = sum_gradients(self._ranks, self._dense, self._rows, seen).tolist()
        return cost, weight

    def _scale_step(self, examples: int) -> None:
        """Adam's step does not shrink with the batch; a stream's batches differ, so it is scaled by √n.

        Source: square-root scaling of adaptive methods (Malladi et al., NeurIPS 2022).
        """
        for group in self._adam.param_groups:
            group["lr"] = self._settings.step * min(1.0, (examples / _REFERENCE_BATCH) ** 0.5)

    def snapshot(self) -> dict[str, Tensor]:
        """Optimiser moments, importance, masks and clocks as tensors; the weights are not among them."""
        state = {f"allocator.{name}": tensor for name, tensor in self.allocator.snapshot().items()}
        for key, optimiser in self._optimisers().items():
            for index, moments in optimiser.state_dict()["state"].items():
                state |= {f"{key}.{index}.{name}": tensor.clone() for name, tensor in moments.items()}
        state["steps"] = torch.tensor([self.steps])
        state["gamma"] = torch.tensor(
            [self._gamma], dtype=torch.float64
        )  # set at birth, by the directions of then
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `snapshot` gave.

        Raises:
            SnapshotError: it is another adapter's.
        """
        try:
            self.allocator.restore(
                {n.removeprefix("allocator."): t for n, t in state.items() if n.startswith("allocator.")}
            )
            for key, optimiser in self._optimisers().items():
                _load_moments(
                    optimiser,
                    {n.removeprefix(f"{key}."): t for n, t in state.items() if n.startswith(f"{key}.")},
                )
            self.steps, self._gamma = int(state["steps"]), float(state["gamma"])
        except (KeyError, ValueError) as error:
            raise SnapshotError(f"optimiser state: expected this adapter's moments, got {error}") from error

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"adam": self._adam, "adagrad": self._adagrad}


def _load_moments(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    described = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, moment = name.split(".", 1)
        state.setdefault(int(index), {})[moment] = tensor.clone()
    described["state"] = state
    optimiser.load_state_dict(described)
