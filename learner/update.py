"""One optimiser step: the one place that changes weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from learner.adapter import (
    DenseLinear,
    adapt,
    adapt_in_full,
    adapted_layers,
    adapter_state,
    low_rank_layers,
    orthogonality,
    orthogonality_weight,
)
from learner.allocation import Allocator, clear_moments
from learner.batching import Example
from learner.budget import HorizonFreeBudget
from learner.drift import Adwin
from learner.energy import energies, faded, pruned_share
from learner.knowledge import Knowledge
from learner.losses import proximal
from learner.moments import load_moments, moments_of
from learner.objective import example_loss, logits_of, pair_costs, prepare, slate_losses
from learner.ranker import SMALL, TABLES, Ranker
from learner.ranks import Ranks, share, sum_gradients
from learner.scoring_state import reset
from learner.update_settings import UpdateSettings
from schemas.errors import SnapshotError

_TASK_LOSS = 0.6
"""About a click's binary cross-entropy at birth: what the orthogonality term is measured against."""

_REFERENCE_BATCH = 64

_ACCUMULATED: Final = 0.1
"""What Adagrad has summed up of a row at birth; it bounds the row's first step."""

_TINY: Final = 1e-12


def adapted(ranker: Ranker, rank: int, seed: int) -> Ranker:
    """Let a frozen ranker move, in place: small layers in full, the others and growing tables by low rank."""
    generator = torch.Generator().manual_seed(seed)
    tasks = ranker.heads.intercept.numel()
    narrow = {
        name for name in TABLES if name.startswith("heads.")
    }  # one column a task: that is their full rank
    adapt_in_full(ranker, SMALL)
    adapt(ranker, rank, 1.0, generator, lambda name, layer: _is_wide(name, layer) and name not in narrow)
    adapt(ranker, tasks, 1.0, generator, lambda name, _layer: name in narrow)
    ranker.heads.intercept.requires_grad_(True)
    return ranker


def _is_wide(name: str, layer: torch.nn.Module) -> bool:
    return isinstance(layer, torch.nn.Linear) or name in TABLES


@dataclass(frozen=True, slots=True)
class Stepped:
    """The fresh examples' mean loss per unit of weight, before the step; and whether it showed a drift."""

    loss: float
    drifted: bool


class Updater:
    """Steps an adapted ranker: AdamW on P, Λ, Q and Δ; Adagrad on the touched rows of the tables."""

    def __init__(
        self,
        ranker: Ranker,
        knowledge: Knowledge,
        settings: UpdateSettings,
        device: torch.device | str,
        ranks: Ranks,
    ) -> None:
        self._ranker, self._knowledge, self._settings, self._device = ranker, knowledge, settings, device
        self._layers = low_rank_layers(ranker)
        self._ranks = ranks
        kind = torch.device(device).type
        # Weights, moments and sums stay in full precision; products of a GPU do not.
        self._precision = torch.autocast(kind, torch.bfloat16, enabled=settings.bfloat16 or kind == "cuda")
        self._rows, low, full = _moving(ranker)
        self._dense = [*low, *full]
        self._adam = torch.optim.AdamW(
            [{"params": low}, {"params": full}], betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self._adagrad = torch.optim.Adagrad(
            self._rows, lr=settings.row_step, initial_accumulator_value=_ACCUMULATED
        )
        triplets = sum(layer.lam.numel() for layer in self._layers.values())
        target = sum(min(layer.lam.numel(), settings.mean_rank) for layer in self._layers.values())
        self._budget = HorizonFreeBudget(
            initial=triplets,
            target=target,
            descent_examples=settings.descent_examples,
            exchange=settings.exchange,
        )
        self.allocator = Allocator(self._layers, self._budget, settings.beta, settings.beta)
        layers = self._layers.values()
        self._gamma = orthogonality_weight(layers, _TASK_LOSS, settings.orthogonality)
        self.steps = 0
        self._adwin = Adwin(settings.alarm)
        self._excited = False  # has there been a drift, since when the budget comes down?
        self.pruned_energy = math.nan
        """Share of the adapter's energy that an allocation prunes, once the budget is down; NaN before."""
        self._published: dict[str, Tensor] = {}
        self.publish()

    def publish(self) -> None:
        """Let the present weights be what later steps stay close to."""
        if self._settings.closeness:
            moved = adapter_state(self._ranker) | {"heads.intercept": self._ranker.heads.intercept.detach()}
            self._published = {name: tensor.clone() for name, tensor in moved.items()}

    @torch.no_grad()
    def forget(self, index: str, rows: Sequence[int]) -> None:
        """Let rows of the tables of `index` be nothing: weights, and what the optimiser has summed up."""
        reset(self._ranker, index, np.array(rows))
        for table in (name for name, of in TABLES.items() if of == index):
            a = self._layers[table].get_parameter("a")
            self._adagrad.state[a]["sum"][rows] = _ACCUMULATED
            if f"{table}.a" in self._published:
                self._published[f"{table}.a"][rows] = 0

    def step(self, fresh: Sequence[Example], replayed: Sequence[Example]) -> Stepped:
        """Learn from fresh and replayed examples."""
        cost, weight, *losses = self._backward(fresh, replayed)
        allocates = self._settings.allocate_every > 0
        if allocates:
            self.allocator.observe()
        drifted = self._notice_drift(losses)
        self._move(len(fresh) + len(replayed))
        self.allocator.advance(len(fresh))
        self.steps += 1
        self.allocator.mask()  # a snapshot may have dead triplets, whether there are allocations or not
        if allocates and self.steps % self._settings.allocate_every == 0:
            self._allocate()
        return Stepped(cost / weight if weight else 0.0, drifted)

    @torch.no_grad()
    def loss_of(self, examples: Sequence[Example]) -> float:
        """The examples' mean loss per unit of weight, by the weights of now; changes nothing."""
        with self._precision:
            loss, _ = example_loss(self._ranker, self._knowledge, examples, self._device)
        return float(loss)

    def _backward(self, fresh: Sequence[Example], replayed: Sequence[Example]) -> list[float]:
        """Leave the gradients of all ranks' examples, these being everybody's.

        Returns the sum of the fresh ones' losses, their weight, and the mean levelled loss of each.
        """
        mine = share(self._ranks, range(len(fresh) + len(replayed)))
        known = [place for place in mine if place < len(fresh)]
        seen = torch.zeros(2 + len(fresh), device=self._device)
        penalty = self._gamma * orthogonality(self._layers.values()) if self._gamma else seen.new_zeros(())
        self._ranker.zero_grad(set_to_none=True)
        if mine:  # another rank may have some
            mixed = [*fresh, *replayed]
            lesson = prepare([mixed[place] for place in mine], self._knowledge, self._device)
            with self._precision:
                logits = logits_of(self._ranker, lesson).float()
            weight = lesson.weights.sum()
            loss = pair_costs(logits, lesson).sum() + weight * penalty
            again = [mixed[place] for place in mine[len(known) :]]
            # The sum, not the mean: a row's gradient must not depend on what else was in the batch.
            (loss + self._departure(logits, again)).backward()  # type: ignore[no-untyped-call]
            each = slate_losses(logits, lesson, len(known))
            seen[0], seen[1] = each.losses.sum(), each.weights.sum()
            seen[2:][known] = each.levelled / each.weights.clamp_min(_TINY)
        numbers: list[float] = sum_gradients(self._ranks, self._dense, self._rows, seen).tolist()
        return numbers

    def _departure(self, logits: Tensor, replayed: Sequence[Example]) -> Tensor:
        """κ ΣKL(p_published ‖ p) over the replayed pairs, which are the last of `logits`."""
        if not self._settings.closeness or not replayed:
            return logits.new_zeros(())
        with torch.no_grad(), self._precision:
            lesson = prepare(replayed, self._knowledge, self._device)
            published = logits_of(self._ranker, lesson, self._published).float()
        last = logits[len(logits) - len(published) :]
        return self._settings.closeness * last.numel() * proximal(last, published)

    def _move(self, examples: int) -> None:
        self._scale_steps(examples)
        torch.nn.utils.clip_grad_norm_(self._dense, self._settings.clip * examples)
        self._adam.step()
        # torch wants to be told that it need not check the sparse gradients that it made itself.
        with torch.sparse.check_sparse_tensor_invariants(False):  # type: ignore[no-untyped-call]
            self._adagrad.step()

    def _allocate(self) -> None:
        energy = energies(self._layers) if self._settings.consolidate_below else {}
        moved = self.allocator.allocate()
        changed = moved.changed
        if energy:
            settled = self._budget.excess(self.allocator.clock) == 0
            share = pruned_share(energy, moved.pruned)
            self.pruned_energy = faded(self.pruned_energy, share) if settled else math.nan
        if self._settings.clear_moments:
            clear_moments(self._adam, self._layers, changed)
            clear_moments(self._adagrad, self._layers, changed, _ACCUMULATED)

    def _notice_drift(self, losses: Sequence[float]) -> bool:
        """Whether the loss has risen; if so, the budget is lifted, and rows move as freely as at birth."""
        known = [min(loss, 1.0) for loss in losses if math.isfinite(loss)]
        change = self._adwin.fold(known) if self._settings.alarm else None
        if change is None or change.after <= change.before:
            return False
        self._excited = True
        self.allocator.reset()
        for moments in self._adagrad.state.values():
            moments["sum"].fill_(_ACCUMULATED)
        return True

    def _scale_steps(self, examples: int) -> None:
        """Adam's step does not shrink with the batch; a stream's batches differ, so it is scaled by √n.

        Source: square-root scaling of adaptive methods (Malladi et al., NeurIPS 2022).
        """
        settings = self._settings
        excess = self._budget.excess(self.allocator.clock) if self._excited else 0.0
        boost = 1 + (settings.boost - 1) * excess
        low, full = self._adam.param_groups
        part = min(1.0, (examples / _REFERENCE_BATCH) ** 0.5)
        low["lr"], full["lr"] = settings.step * boost * part, settings.dense_step * part

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of moments, importance, masks and clocks as tensors; the weights are not among them."""
        state = {f"allocator.{name}": tensor for name, tensor in self.allocator.snapshot().items()}
        for key, optimiser in self._optimisers().items():
            state |= {f"{key}.{name}": tensor for name, tensor in moments_of(optimiser).items()}
        state["steps"] = torch.tensor([self.steps])
        state["gamma"] = torch.tensor(
            [self._gamma], dtype=torch.float64
        )  # set at birth, by the directions of then
        state["orthogonality"] = torch.tensor([self._settings.orthogonality], dtype=torch.float64)
        state["excited"] = torch.tensor([self._excited])
        state["pruned_energy"] = torch.tensor([self.pruned_energy], dtype=torch.float64)
        state["adwin"] = torch.tensor(self._adwin.snapshot(), dtype=torch.float64).reshape(-1, 3)
        return state | {f"published.{name}": tensor.clone() for name, tensor in self._published.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `snapshot` gave, in a ranker that has the weights of then already.

        Raises:
            SnapshotError: it is another adapter's.
        """
        try:
            self.allocator.restore(
                {n.removeprefix("allocator."): t for n, t in state.items() if n.startswith("allocator.")}
            )
            for key, optimiser in self._optimisers().items():
                load_moments(
                    optimiser,
                    {n.removeprefix(f"{key}."): t for n, t in state.items() if n.startswith(f"{key}.")},
                )
            self.steps = int(state["steps"])
            own = self._settings.orthogonality
            if float(state.get("orthogonality", own)) == own:  # one that is set anew counts from now on
                self._gamma = float(state["gamma"])
            self._excited = bool(state["excited"])
            self.pruned_energy = float(state["pruned_energy"])
            self._adwin.restore([(int(n), mean, dev) for n, mean, dev in state["adwin"].tolist()])
            # Where nothing was to be kept close to so far, that is the present weights.
            self.publish()
            kept = {n: state[f"published.{n}"] for n in self._published if f"published.{n}" in state}
            self._published |= {n: tensor.clone() for n, tensor in kept.items()}
        except (KeyError, ValueError) as error:
            raise SnapshotError(f"optimiser state: expected this adapter's moments, got {error}") from error

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"adam": self._adam, "adagrad": self._adagrad}


def _moving(ranker: Ranker) -> tuple[list[Parameter], list[Parameter], list[Parameter]]:
    """What moves: the rows of tables, what moves by low rank, and what moves in full."""
    rows = [parameter for name, parameter in ranker.named_parameters() if name.endswith(".a")]
    full = [layer.delta for layer in adapted_layers(ranker).values() if isinstance(layer, DenseLinear)]
    skip = {id(parameter) for parameter in (*rows, *full)}
    return rows, [p for p in ranker.parameters() if p.requires_grad and id(p) not in skip], full
