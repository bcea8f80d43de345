"""Base training: all weights but the text trunk, over a log of labels in the order they were observed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from learner.augmentation import wordings
from learner.base import Base, freeze
from learner.batching import Example
from learner.catalogue import Embed, frequent_keys
from learner.fitting import BackfillSettings, Fit, Kept, Progress
from learner.intake import AT_ONCE, Intake
from learner.knowledge import Knowledge
from learner.ledger import Ledger
from learner.pretrained import Pretrained
from learner.ranker import Ranker, RankerSettings, SessionEncoder
from learner.ranking import is_ranking
from learner.ratings import Rated, RatingErrors, rated
from learner.ratings import errors as rating_errors
from learner.ratings import fit as fit_head
from schemas.errors import BaseError
from schemas.events import Item
from schemas.labels import LabeledSlate

ROOM = 2
"""A base has rows for so many times the catalogue that it is trained on: an item needs one to be known by."""


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
    kept: Kept | None = None,
) -> Trained:
    """Train a base from a catalogue and labels in observation order; one that was killed goes on from `kept`.

    `backbone` is the pretrained session encoder of a `model` that has one. It stays as it is: what is trained
    is all around it, and what the stream moves is its adapter.

    Raises:
        BaseError: there is not a single label to learn from, or what was learned is not finite.
    """
    progress("encode items", 0, len(items))
    slates = list(slates)
    model = _fitted(model, items, slates)
    knowledge = Knowledge(model, frequent_keys(items), embed)
    rows = knowledge.catalogue.put(items)
    worded = wordings(knowledge.catalogue, rows, items, embed, settings.wordings, settings.seed)
    progress("encode items", len(items), len(items))
    examples, ratings = _examples(knowledge, slates, settings.seed)
    ranker = _born(model, examples, settings.seed, backbone).to(device)
    fit = Fit(ranker, knowledge, settings, device, progress, worded)
    cut = len(examples) - int(len(examples) * settings.holdout)
    held_out_loss = fit.run(examples[:cut], examples[cut:], kept)
    errors = _rating_errors(ranker, knowledge, ratings, cut)
    fit.epoch(examples[cut:])
    return Trained(
        base=freeze(_finite(ranker), knowledge, text_encoder),
        examples=len(examples),
        held_out_loss=held_out_loss,
        ratings=errors,
    )


def _finite(ranker: Ranker) -> Ranker:
    """The ranker, unless it would answer NaN to everyone, which no update could mend.

    Raises:
        BaseError: a weight is not finite.
    """
    for name, tensor in ranker.state_dict().items():
        ruined = tensor[~torch.isfinite(tensor)].flatten()
        if len(ruined):
            raise BaseError(
                f"backfill: expected finite weights after training, got {float(ruined[0])} in {name} "
                f"({len(ruined)} of {tensor.numel()}); a label of the log may weigh too much"
            )
    return ranker


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
    fit = Fit(ranker, knowledge, settings, device, lambda _stage, _done, _total: None)

    def train(examples: Sequence[Example]) -> None:
        with torch.random.fork_rng():  # dropout draws from torch's own generator
            torch.manual_seed(settings.seed)
            fit.epoch(examples)

    return train


def _examples(
    knowledge: Knowledge, slates: Iterable[LabeledSlate], seed: int
) -> tuple[list[Example], dict[int, Rated]]:
    """The examples of labels, one at least, and the ratings among them by the number of their example."""
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
    if not examples:
        raise BaseError("backfill: expected at least one labelled slate in the log, found none")
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
