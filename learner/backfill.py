"""Base training: all weights but the text trunk, over a log of labels in the order they were observed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from learner.averaging import RunningMean
from learner.base import Base, freeze
from learner.batching import Batch, Example, forget
from learner.catalogue import Embed, frequent_keys
from learner.intake import AT_ONCE, Intake
from learner.knowledge import Knowledge
from learner.ledger import Ledger
from learner.objective import example_loss
from learner.pretrained import Pretrained
from learner.ranker import TABLES, Ranker, RankerSettings, SessionEncoder
from learner.ranking import is_ranking
from learner.ratings import Rated, RatingErrors, rated
from learner.ratings import errors as rating_errors
from learner.ratings import fit as fit_head
from schemas.errors import BaseError
from schemas.events import Item
from schemas.labels import LabeledSlate

Progress = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and how much there is."""


ROOM = 2
"""A base has rows for so many times the catalogue that it is trained on: an item needs one to be known by."""


@dataclass(frozen=True, kw_only=True)
class BackfillSettings:
    """How the base is trained. The last `holdout` of the examples, in time, decides when to stop.

    `step` is that of the head over the fast features; tower and session encoder take the share `calm` of it:
    below 1 where they would learn the log by heart, as a transformer over short sessions does. `row_step`
    is that of the tables.
    `forget` is the share of ids that an update does not get to see. An epoch ends at the mean of the
    layers over its last `average` steps.
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
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A base, and how its training went.

    `held_out_loss` is the mean loss on the last of the examples before they, too, were learned; NaN without.
    `ratings` is how far the rating head was from the ratings among them, by then; None without.
    """

    base: Base
    examples: int
    held_out_loss: float
    ratings: RatingErrors | None = None


def train_base(
    items: Sequence[Item],
    slates: Iterable[LabeledSlate],
    embed: Embed,
    text_encoder: str,
    model: RankerSettings,
    settings: BackfillSettings,
    device: torch.device | str = "cpu",
    progress: Progress = lambda _stage, _done, _total: None,
    backbone: Pretrained | None = None,
) -> Trained:
    """Train a base from a catalogue and labels in observation order.

    `backbone` is the pretrained session encoder of a `model` that has one. It stays as it is: what is trained
    is all around it, and what the stream moves is its adapter.

    Raises:
        BaseError: there is not a single label to learn from.
    """
    progress("encode items", 0, len(items))
    slates = list(slates)
    model = _fitted(model, items, slates)
    knowledge = Knowledge(model, frequent_keys(items), embed)
    knowledge.catalogue.put(items)
    progress("encode items", len(items), len(items))
    examples, ratings = _examples(knowledge, slates, settings.seed)
    if not examples:
        raise BaseError("backfill: expected at least one labelled slate in the log, found none")
    ranker = _born(model, examples, settings.seed, backbone).to(device)
    fit = _Fit(ranker, knowledge, settings, device, progress)
    cut = len(examples) - int(len(examples) * settings.holdout)
    held_out_loss = fit.run(examples[:cut], examples[cut:])
    errors = _rating_errors(ranker, knowledge, ratings, cut)
    fit.epoch(examples[cut:])
    head = fit_head(ranker, knowledge.catalogue, list(ratings.values())) if ratings else None
    return Trained(
        base=freeze(ranker, knowledge, text_encoder, head),
        examples=len(examples),
        held_out_loss=held_out_loss,
        ratings=errors,
    )


def _fitted(model: RankerSettings, items: Sequence[Item], slates: Iterable[LabeledSlate]) -> RankerSettings:
    """The model with room for this catalogue to grow, and of the kind that this log asks for."""
    room = max(model.items, 1 + ROOM * len(items))
    return replace(model, items=room, ranking=any(map(is_ranking, slates)))


def _born(
    model: RankerSettings, examples: Sequence[Example], seed: int, backbone: Pretrained | None
) -> Ranker:
    """A ranker before its first step: it knows how features and outcomes of these examples are spread."""
    torch.manual_seed(seed)
    ranker = Ranker(model)
    if backbone is not None and isinstance(ranker.session, SessionEncoder):
        backbone.settle(ranker.session.transformer)
    _fit_feature_norm(ranker, examples)
    _fit_intercept(ranker, examples)
    return ranker


def continued(
    ranker: Ranker, knowledge: Knowledge, settings: BackfillSettings, device: torch.device | str = "cpu"
) -> Callable[[Sequence[Example]], None]:
    """What goes on training all weights of a ranker, in place: one pass over examples, in their order."""
    ranker.requires_grad_(True)
    fit = _Fit(ranker, knowledge, settings, device, lambda _stage, _done, _total: None)

    def train(examples: Sequence[Example]) -> None:
        with torch.random.fork_rng():  # dropout draws from torch's own generator
            torch.manual_seed(settings.seed)
            fit.epoch(examples)

    return train


def _examples(
    knowledge: Knowledge, slates: Iterable[LabeledSlate], seed: int
) -> tuple[list[Example], dict[int, Rated]]:
    """The examples of labels, and the ratings among them by the number of their example."""
    intake = Intake(knowledge, Ledger(capacity=1_000_000), np.random.default_rng(seed))
    examples: list[Example] = []
    ratings: dict[int, Rated] = {}
    coming = iter(slates)
    while part := list(islice(coming, AT_ONCE)):
        for slate, example in zip(part, intake.take(part), strict=True):
            if example is None:
                continue
            stars = rated(slate, example, knowledge.vocabulary.items)
            if stars is not None:
                ratings[len(examples)] = stars
            examples.append(example)
    return examples, ratings


def _rating_errors(
    ranker: Ranker, knowledge: Knowledge, ratings: Mapping[int, Rated], cut: int
) -> RatingErrors | None:
    """How far a head that learned the ratings before example `cut` is from the others."""
    before = [one for number, one in ratings.items() if number < cut]
    after = [one for number, one in ratings.items() if number >= cut]
    if not before or not after:
        return None
    return rating_errors(fit_head(ranker, knowledge.catalogue, before), ranker, knowledge.catalogue, after)


def _fit_feature_norm(ranker: Ranker, examples: Sequence[Example]) -> None:
    features = torch.from_numpy(np.concatenate([example.encoded.features for example in examples]))
    ranker.heads.normal.mean.copy_(features.mean(0))
    # A feature that never varied says nothing; unit deviation keeps it harmless when it starts to.
    deviation = features.std(0, correction=0)
    ranker.heads.normal.deviation.copy_(torch.where(deviation > 1e-3, deviation, 1.0))


def _fit_intercept(ranker: Ranker, examples: Sequence[Example]) -> None:
    targets = torch.from_numpy(np.concatenate([example.targets for example in examples]))
    weights = torch.from_numpy(np.concatenate([example.weights for example in examples]))
    rate = ((targets * weights).sum(0) + 0.1) / (weights.sum(0) + 1)
    with torch.no_grad():
        ranker.heads.intercept.copy_(torch.logit(rate, eps=1e-4))


class _Fit:
    """Epochs over examples, with early stopping on what is held out."""

    def __init__(
        self,
        ranker: Ranker,
        knowledge: Knowledge,
        settings: BackfillSettings,
        device: torch.device | str,
        progress: Progress,
    ) -> None:
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

    def run(self, train: Sequence[Example], late: Sequence[Example]) -> float:
        """Train; returns the best loss on the held-out examples, which come later."""
        settings = self._settings
        best, best_loss, waited = self._state(), float("inf"), 0
        for epoch in range(settings.epochs):
            self._progress("train base", epoch, settings.epochs)
            self._forget_rows()
            self.epoch([train[i] for i in self._shuffle.permutation(len(train))])
            loss = self._loss(late) if late else -float(epoch)
            best, best_loss, waited = (
                (self._state(), loss, 0) if loss < best_loss else (best, best_loss, waited + 1)
            )
            if waited >= settings.patience:
                break
        self._ranker.load_state_dict(best)
        self._progress("train base", settings.epochs, settings.epochs)
        return best_loss if late else float("nan")

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
        loss, weight = example_loss(self._ranker, self._knowledge, examples, self._device, self._forget)
        # The sum, not the mean, as in the stream: a row's step must not depend on the size of the batch.
        (weight * loss).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._ranker.parameters(), 5.0 * weight)
        for optimiser in self._optimisers:
            optimiser.step()

    def _forget(self, batch: Batch) -> Batch:
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
