"""Epochs over examples, of all weights but the text trunk; a training that was killed goes on."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from learner.augmentation import Wordings
from learner.averaging import RunningMean
from learner.batching import Batch, Example, forget
from learner.knowledge import Knowledge
from learner.moments import load_moments, moments_of
from learner.objective import example_loss
from learner.packing import pack
from learner.ranker import TABLES, Ranker
from learner.trainer_state import below

Progress = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class BackfillSettings:
    """How the base is trained. The last `holdout` of the examples, in time, decides when to stop.

    `step` is that of the head over the fast features; tower and session encoder take the share `calm` of it:
    below 1 where they would learn the log by heart, as a transformer over short sessions does. `row_step`
    is that of the tables.
    `forget` is the share of ids that an update does not get to see. An epoch ends at the mean of the
    layers over its last `average` steps.
    An update reads an item in its own words, or in one of so many other `wordings` (`learner.augmentation`).
    """

    epochs: int = 12
    patience: int = 2
    batch: int = 128
    step: float = 2e-3
    calm: float = 1.0
    row_step: float = 0.02
    decay: float = 0.05
    forget: float = 0.5
    average: int = 150
    holdout: float = 0.1
    wordings: int = 0
    seed: int = 0


class Kept(Protocol):
    """Where training keeps how far it is."""

    def read(self) -> bytes | None:
        """Return what was kept last; None of nothing."""

    def keep(self, payload: bytes) -> None:
        """Replace it."""


class _Words(msgspec.Struct, frozen=True, array_like=True):
    """What is kept beside tensors; `name` is the fingerprint, `shuffle` JSON."""

    name: str
    epoch: int
    waited: int
    shuffle: str


class Fit:
    """Epochs over examples, with early stopping on what is held out."""

    def __init__(
        self,
        ranker: Ranker,
        knowledge: Knowledge,
        settings: BackfillSettings,
        device: torch.device | str,
        progress: Progress,
        wordings: Wordings | None = None,
    ) -> None:
        self._wordings = wordings
        self._ranker, self._knowledge, self._settings, self._device = ranker, knowledge, settings, device
        self._progress = progress
        self._shuffle = np.random.default_rng(settings.seed)
        self._birth = {
            table: ranker.get_parameter(table).detach().clone() for table in (f"{t}.weight" for t in TABLES)
        }
        self._chance = torch.Generator().manual_seed(settings.seed)
        self._optimisers = _optimisers(ranker, settings)
        # Rows are left out: most of them are touched too rarely to have a mean.
        layers = [w for name, w in ranker.named_parameters() if w.requires_grad and name not in self._birth]
        self._mean = RunningMean(layers, settings.average)
        self._epoch, self._waited = 0, 0
        self._best: dict[str, Tensor] = {}
        self._best_loss = float("inf")

    def run(self, train: Sequence[Example], late: Sequence[Example], kept: Kept | None = None) -> float:
        """Train; returns the best loss on the held-out examples, which come later.

        Where it is at is kept after every epoch, and gone on from if it is of these examples and settings.
        """
        settings = self._settings
        self._best, self._best_loss = self._state(), float("inf")
        name = "" if kept is None else self._fingerprint([*train, *late])
        if kept is not None:
            self._go_on(kept.read(), name)
        while self._epoch < settings.epochs and (not self._epoch or self._waited < settings.patience):
            self._progress("train base", self._epoch, settings.epochs)
            self._forget_rows()
            self.epoch([train[i] for i in self._shuffle.permutation(len(train))])
            self._judge(self._loss(late) if late else -float(self._epoch))
            self._epoch += 1
            if kept is not None:
                kept.keep(self._snapshot(name))
        self._ranker.load_state_dict(self._best)
        self._progress("train base", settings.epochs, settings.epochs)
        return self._best_loss if late else float("nan")

    def _judge(self, loss: float) -> None:
        if loss < self._best_loss:
            self._best, self._best_loss, self._waited = self._state(), loss, 0
        else:
            self._waited += 1

    def _fingerprint(self, examples: Sequence[Example]) -> str:
        """A hash of what the outcome depends on: settings, weights of birth, items and examples."""
        hashed = hashlib.sha256(repr((self._settings, self._knowledge.catalogue.keys)).encode())
        hashed.update(save(self._state()))
        hashed.update(self._knowledge.catalogue.text.data)
        for example in examples:
            hashed.update(pack(example))
        return hashed.hexdigest()

    def _snapshot(self, name: str) -> bytes:
        """Where training stands after an epoch: whoever goes on from it ends as if it had never stopped."""
        words = _Words(name, self._epoch, self._waited, json.dumps(self._shuffle.bit_generator.state))
        tensors = {"best_loss": torch.tensor([self._best_loss], dtype=torch.float64)}
        tensors |= {"chance": self._chance.get_state(), **_dropout_state(self._device)}
        tensors |= {f"weights.{key}": tensor for key, tensor in self._state().items()}
        tensors |= {f"best.{key}": tensor for key, tensor in self._best.items()}
        if self._wordings is not None:
            tensors["wordings"] = self._wordings.snapshot()
        for number, optimiser in enumerate(self._optimisers):
            tensors |= {f"moments.{number}.{key}": t for key, t in moments_of(optimiser).items()}
        payload: bytes = save(
            {key: tensor.cpu().contiguous() for key, tensor in tensors.items()},
            metadata={"training": msgspec.json.encode(words).decode()},
        )
        return payload

    def _go_on(self, payload: bytes | None, name: str) -> None:
        """Take back what `_snapshot` gave, if it is of this training."""
        words = None if payload is None else _words_of(payload)
        if payload is None or words is None or words.name != name:
            return
        tensors = load(payload)
        self._ranker.load_state_dict(below("weights.", tensors))
        best = below("best.", tensors)
        self._best = {key: best[key].to(tensor) for key, tensor in self._state().items()}
        for number, optimiser in enumerate(self._optimisers):
            load_moments(optimiser, below(f"moments.{number}.", tensors))
        self._chance.set_state(tensors["chance"])
        if self._wordings is not None:
            self._wordings.restore(tensors["wordings"])
        _set_dropout_state(self._device, tensors)
        self._shuffle.bit_generator.state = json.loads(words.shuffle)
        self._best_loss = float(tensors["best_loss"])
        self._epoch, self._waited = words.epoch, words.waited

    def _forget_rows(self) -> None:
        """Give every table back its rows of birth, so that no epoch predicts what its rows have seen.

        Source: Multi-Epoch Learning with Data Augmentation (Liu et al., 2023). Rows that go through the
        log twice know it by heart the second time, and the layers learn to trust them.
        """
        with torch.no_grad():
            for table, rows in self._birth.items():
                self._ranker.get_parameter(table).copy_(rows)

    def epoch(self, examples: Sequence[Example]) -> None:
        """One pass over the examples, in this order."""
        self._ranker.train()
        for start in range(0, len(examples), self._settings.batch):
            self._step(examples[start : start + self._settings.batch])
            self._mean.fold()
        self._mean.settle()
        self._ranker.eval()

    def _step(self, examples: Sequence[Example]) -> None:
        self._ranker.zero_grad(set_to_none=True)
        loss, weight = example_loss(self._ranker, self._knowledge, examples, self._device, self._disturb)
        # The sum, not the mean, as in the stream: a row's step must not depend on the size of the batch.
        (weight * loss).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._ranker.parameters(), 5.0 * weight)
        for optimiser in self._optimisers:
            optimiser.step()

    def _disturb(self, batch: Batch) -> Batch:
        if self._wordings is not None:
            batch = self._wordings(batch)
        return forget(batch, self._settings.forget, self._chance)

    @torch.no_grad()
    def _loss(self, examples: Sequence[Example]) -> float:
        size = self._settings.batch
        parts = [examples[start : start + size] for start in range(0, len(examples), size)]
        losses = [
            float(example_loss(self._ranker, self._knowledge, part, self._device)[0]) * len(part)
            for part in parts
        ]
        return sum(losses) / len(examples)

    def _state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._ranker.state_dict().items()}


def _dropout_state(device: torch.device | str) -> dict[str, Tensor]:
    """Dropout draws from torch's own generators."""
    own = {"dropout": torch.get_rng_state()}
    on_gpu = torch.device(device).type == "cuda"
    return own | {"dropout.cuda": torch.cuda.get_rng_state(device)} if on_gpu else own


def _set_dropout_state(device: torch.device | str, tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["dropout"])
    if "dropout.cuda" in tensors and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(tensors["dropout.cuda"], device)


def _words_of(payload: bytes) -> _Words | None:
    """What a payload says of itself; None where it is damaged."""
    try:
        size = int.from_bytes(payload[:8], "little")
        told = json.loads(payload[8 : 8 + size])["__metadata__"]["training"]
        return msgspec.json.decode(told, type=_Words)
    except (KeyError, ValueError, msgspec.DecodeError):
        return None


_CALM = ("tower.", "session.", "heads.project.")


def _optimisers(ranker: Ranker, settings: BackfillSettings) -> list[torch.optim.Optimizer]:
    """AdamW for the layers, Adagrad for the tables.

    Adam moves a row that is rarely touched some thirty steps for each touch, whatever its gradient: a
    user seen once would be learned by heart. Fused, since tables are large.
    """
    rows = [ranker.get_parameter(f"{table}.weight") for table in TABLES]
    tables = {id(row) for row in rows}
    groups = [
        {
            "params": [parameter],
            "lr": settings.step * (settings.calm if name.startswith(_CALM) else 1.0),
            "weight_decay": settings.decay if parameter.ndim > 1 else 0.0,
        }
        for name, parameter in ranker.named_parameters()
        if parameter.requires_grad and id(parameter) not in tables
    ]
    return [
        torch.optim.AdamW(groups, fused=True),
        torch.optim.Adagrad(rows, lr=settings.row_step, initial_accumulator_value=0.1, fused=True),
    ]
