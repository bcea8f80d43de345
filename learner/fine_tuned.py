"""The arms that move the base's own weights online: all of them, or the heads alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.base import Base
from learner.batching import Example
from learner.catalogue import Embed
from learner.checkpoint import encode
from learner.compact import gaps, quantise
from learner.intake import Intake
from learner.knowledge import Knowledge
from learner.learned_arms import BATCH, MEASURED_EVERY, Served
from learner.ledger import Ledger
from learner.memory import ReplayMemory
from learner.objective import example_loss
from learner.online import FULL_EVERY
from learner.packing import EXAMPLES
from learner.query import Query
from learner.ranker import TABLES, Ranker
from learner.scorer import fork, score
from learner.update_settings import UpdateSettings
from schemas.events import Item
from schemas.labels import LabeledSlate

_REFERENCE_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Step sizes at a batch of 64 slates and per row; replay as in the low-rank update."""

    step: float = 1e-4
    row_step: float = 0.003
    replay: float = 0.5
    memory: int = 4_096
    memory_horizon: int = 16_384
    clip: float = 5.0


class FineTuned:
    """`full` and `head`: plain gradient steps on the weights that `moves` names, with replay.

    AdamW for the layers and Adagrad for the rows of tables, as the base was trained and as the low-rank
    arm learns, so that what differs is what moves.
    """

    def __init__(
        self,
        base: Base,
        items: Sequence[Item],
        embed: Embed,
        seed: int,
        moves: Callable[[str], bool],
        settings: TuneSettings = TuneSettings(),  # frozen
    ) -> None:
        self._settings = settings
        self._knowledge = base.knowledge(embed)
        self._knowledge.catalogue.put(items)
        known = self._knowledge
        self._rng = np.random.default_rng(seed)
        self._intake = Intake(known, Ledger(UpdateSettings.ledger), self._rng)
        self._memory: ReplayMemory[Example] = ReplayMemory(settings.memory, settings.memory_horizon, EXAMPLES)
        self._ranker = base.ranker()
        self._tables = {table: index for table, index in TABLES.items() if moves(f"{table}.weight")}
        self._dense, rows = _open(self._ranker, moves, self._tables)
        self._adam = torch.optim.AdamW(self._dense, lr=settings.step, betas=(0.9, 0.99), weight_decay=0.0)
        self._adagrad = torch.optim.Adagrad(rows, lr=settings.row_step, initial_accumulator_value=0.1)
        self._began = {name: weights.detach().clone() for name, weights in self._moved()}
        self._ever, self._since = _nothing(known), _nothing(known)
        self._published: list[int] = []
        self._versions = 0

    def score(self, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        """Probabilities, one array [n candidates, K] a query."""
        return score(self._ranker, self._knowledge, queries, "cpu")

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Learn labels in the order in which they were observed."""
        for start in range(0, len(slates), BATCH):
            taken = self._intake.take(slates[start : start + BATCH])
            fresh = [example for example in taken if example is not None]
            if fresh:
                self._learn(fresh)

    def publish(self) -> None:
        """Measure what a checkpoint of this would take; one in a few, as for low rank.

        It is coded as those of low rank are: differences from the base in whole steps, a row of a table where
        it was touched since the last version, every `FULL_EVERY`th time where it ever was. Without ids and
        counts, which low rank's carry: a lower bound.
        """
        if self._versions % MEASURED_EVERY == 0:
            touched = self._since if self._versions % FULL_EVERY else self._ever
            self._published.append(len(encode(dict(self._changes(touched)), {})))
        self._since = _nothing(self._knowledge)
        self._versions += 1

    def serving(self) -> Served:
        """The weights and counts of now."""
        return Served(fork(self._ranker), self._knowledge.with_own_counts())

    @property
    def published_bytes(self) -> Sequence[int]:
        """Bytes of a sample of the versions."""
        return self._published

    @property
    def trained_parameters(self) -> int:
        """Numbers that the stream moves."""
        return sum(p.numel() for p in self._ranker.parameters() if p.requires_grad)

    def _learn(self, fresh: Sequence[Example]) -> None:
        replayed = self._memory.sample(self._settings.replay * len(fresh), self._rng)
        self._step([*fresh, *replayed])
        for example in fresh:
            self._memory.add(example, self._rng)
        self._touch([*fresh, *replayed])

    def _step(self, examples: Sequence[Example]) -> None:
        loss, weight = example_loss(self._ranker, self._knowledge, examples, "cpu")
        self._ranker.zero_grad(set_to_none=True)
        (weight * loss).backward()  # type: ignore[no-untyped-call]
        for group in self._adam.param_groups:
            group["lr"] = self._settings.step * min(1.0, (len(examples) / _REFERENCE_BATCH) ** 0.5)
        torch.nn.utils.clip_grad_norm_(self._dense, self._settings.clip * len(examples))
        self._adam.step()
        # torch wants to be told that it need not check the sparse gradients that it made itself.
        with torch.sparse.check_sparse_tensor_invariants(False):  # type: ignore[no-untyped-call]
            self._adagrad.step()

    def _touch(self, examples: Sequence[Example]) -> None:
        rows = np.concatenate([example.encoded.rows for example in examples])
        if self._ranker.session.moves_items:
            rows = np.concatenate([rows, *(example.encoded.session for example in examples)])
        items = np.unique(rows)
        for touched in (self._ever, self._since):
            touched["items"][items] = True
            touched["attributes"][self._knowledge.encoder.attributes_of(items)] = True
            touched["users"][[example.encoded.user for example in examples]] = True
            touched["contexts"][[example.encoded.context for example in examples]] = True

    def _moved(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, weights) for name, weights in self._ranker.named_parameters() if weights.requires_grad)

    def _changes(self, touched: Mapping[str, NDArray[np.bool_]]) -> Iterator[tuple[str, Tensor]]:
        """The tensors of a checkpoint."""
        for index in set(self._tables.values()):
            yield f"numbers.{index}", gaps(torch.from_numpy(np.flatnonzero(touched[index])))
        for name, weights in self._moved():
            change = weights.detach() - self._began[name]
            table = name.removesuffix(".weight")
            if table in self._tables:
                change = change[torch.from_numpy(touched[self._tables[table]])]
            entries, steps = quantise(change if change.ndim > 1 else change[None])
            yield name, entries
            yield f"{name}.steps", steps


def _nothing(knowledge: Knowledge) -> dict[str, NDArray[np.bool_]]:
    """No row touched, by index."""
    vocabulary = knowledge.vocabulary
    return {name: np.zeros(vocabulary.index(name).capacity, np.bool_) for name in vocabulary.NAMES}


def everything(name: str) -> bool:
    """`full`: all weights but the text trunk, which is no part of the ranker."""
    return bool(name)


def heads_only(name: str) -> bool:
    """`head`: the heads, biases of items, attributes, users and contexts among them.

    >>> heads_only("heads.users.weight"), heads_only("tower.text.weight")
    (True, False)
    """
    return name.startswith("heads.")


def _open(
    ranker: Ranker, moves: Callable[[str], bool], tables: Sequence[str] | dict[str, str]
) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """Let the named weights learn; returns layers and tables, the tables with sparse gradients."""
    rows = [ranker.get_parameter(f"{table}.weight") for table in tables]
    for table in tables:
        ranker.get_submodule(table).sparse = True  # type: ignore[assignment]  # a flag of Embedding
    skip = {id(row) for row in rows}
    named = [(name, parameter) for name, parameter in ranker.named_parameters() if moves(name)]
    for _, parameter in named:
        parameter.requires_grad_(True)
    return [parameter for _, parameter in named if id(parameter) not in skip], rows
