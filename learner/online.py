"""The online learner without its wires: labels in, checkpoints and snapshots out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.adapter import adapter_state, load_adapter_state
from learner.base import Base, parse_base
from learner.batching import Example, still_true
from learner.carried import Carried
from learner.catalogue import Embed
from learner.checkpoint import decode
from learner.compiled_pass import compile_session
from learner.consolidation import consolidate
from learner.draft import Draft, Learned
from learner.intake import Intake
from learner.ledger import Ledger
from learner.left_out import LeftOut
from learner.memory import ReplayMemory
from learner.packing import EXAMPLES
from learner.ranks import ALONE, Ranks
from learner.rows import Vocabulary
from learner.scoring_state import apply, base_numbering, extract, reset
from learner.trainer_state import Lineage, TrainerState, Words, below, unpack
from learner.update import Updater, adapted
from learner.update_settings import UpdateSettings
from learner.user_share import UserShare
from learner.usual import Losses, MeanLoss
from schemas.environment import variable
from schemas.errors import SnapshotError
from schemas.events import Item
from schemas.labels import LabeledSlate

FULL_EVERY = 20
"""Every so many checkpoints one is full, so that a scorer starting cold has little to read."""

NEWEST = 4
"""Slates by which a first step is judged: what it has ruined, it has ruined for all."""


class OnlineLearner:
    """Learns labelled slates with low-rank updates over a frozen base; no Kafka, no clock, no files."""

    def __init__(
        self,
        base: Base,
        embed: Embed,
        settings: UpdateSettings,
        seed: int,
        device: torch.device | str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        self._settings, self._seed, self._device, self._ranks = settings, seed, device, ranks
        self._root, self._lineage = base, Lineage()
        self.knowledge = base.knowledge(embed)
        self.knowledge.vocabulary.turn_over(settings.admit_after, self.knowledge.catalogue.known)
        self._stand_on(base)
        self._rng = np.random.default_rng(seed)
        self._left_out = LeftOut(self.knowledge.vocabulary.items)
        self._intake = Intake(self.knowledge, Ledger(settings.ledger), self._rng)
        self._memory: ReplayMemory[Example] = ReplayMemory(
            settings.replay_memory, settings.replay_horizon, EXAMPLES
        )
        self._carried = Carried()
        self._losses = Losses()
        self._newest: Sequence[Example] = ()
        self._shares = UserShare(settings.user_share)
        self.examples_seen = 0
        self._published = 0
        self._draft: Draft | None = None  # the last one made, the next one's parent
        self._folding: Draft | None = None  # to be folded into the base once it is published

    @property
    def base_hash(self) -> str:
        """The hash of the base that the adapter stands on, consolidated or not."""
        return self._base.hash

    @property
    def is_folding(self) -> bool:
        """Whether the last checkpoint is still to become the base: a snapshot would not know of it."""
        return self._folding is not None

    def put_items(self, items: Sequence[Item]) -> int:
        """Add or replace items of the catalogue; many at once are much cheaper than one by one.

        Returns how many of them stay unknown, because every row of the table is another's.
        """
        self._consolidate()
        self.knowledge.vocabulary.items.rows([item.item_id for item in items], admit=True)
        self._intake.forget()
        return self._left_out.note(items, self.knowledge.catalogue.put(items))

    def remove_item(self, item_id: str) -> None:
        """Take an item out of the catalogue."""
        self._left_out.remove(item_id)
        self.knowledge.catalogue.remove(item_id)

    def learned_ids(self) -> Iterator[str]:
        """Ids of the labels that are in the weights, as far back as the ledger reaches."""
        return self._intake.ledger.label_ids()

    def learn(self, slates: Sequence[LabeledSlate]) -> Learned:
        """One step on what is new in these labels, together with as much from replay memory."""
        self._consolidate()
        new = list(dict.fromkeys(slate.label_id for slate in slates if slate not in self._intake.ledger))
        taken = self._intake.take(slates)
        if ready := self._left_out.ready(self._intake.given["items"]):
            self.put_items(ready)
        self._give_rows()
        self._publish_recounted()
        held = map(self._hold_back, slates, taken)
        fresh = [self._still_true(example) for example in held if example is not None]
        if not fresh:
            return Learned(examples=0, loss=float("nan"), label_ids=new)
        drawn = self._memory.sample(self._settings.replay * len(fresh), self._rng)
        replayed = [self._still_true(example) for example in drawn]
        stepped = self._updater.step(fresh, replayed)
        for example in fresh:
            self._memory.add(example, self._rng)
        self._touch([*fresh, *replayed])
        examples = _pairs(fresh)
        self.examples_seen += examples
        self._losses.add(MeanLoss(stepped.loss, examples))
        self._newest = fresh[:NEWEST]
        return Learned(examples=examples, loss=stepped.loss, label_ids=new, drifted=stepped.drifted)

    def _hold_back(self, slate: LabeledSlate, example: Example | None) -> Example | None:
        """The example with no more weight than its user may still have; None where that is nothing."""
        if example is None:
            return None
        part = self._shares.admit(slate.user_id, float(example.weights.max(1).sum()))
        if part == 1:
            return example
        if part:
            return replace(example, weights=example.weights * np.float32(part))
        self._touch([example])  # it has been counted, and scorers have to know
        return None

    def _still_true(self, example: Example) -> Example:
        return still_true(example, self.knowledge.vocabulary)

    def _give_rows(self) -> None:
        """Let rows that have a new owner be as at birth, and be published under its name."""
        for index, rows in self._intake.given.items():
            if not rows:
                continue
            self._updater.forget(index, sorted(rows))
            self._carried.rename(index, rows)
        self._intake.given = {name: set() for name in Vocabulary.CHANGING}

    def _publish_recounted(self) -> None:
        """Let counts that changed without an example be published with the next checkpoint."""
        for name, rows in self._intake.recounted.items():
            self._carried.add(name, rows)
            rows.clear()

    def _touch(self, examples: Sequence[Example]) -> None:
        items = {int(row) for example in examples for row in self._moved(example)}
        attributes = {int(row) for row in self.knowledge.encoder.attributes_of(np.array(list(items))).flat}
        touched = {
            "items": items,
            "attributes": attributes,
            "users": {example.encoded.user for example in examples},
            "contexts": {example.encoded.context for example in examples},
        }
        for name, rows in touched.items():
            self._carried.add(name, rows)

    def _moved(self, example: Example) -> NDArray[np.int32]:
        """Rows of the items whose vectors or counts an example moves."""
        encoded = example.encoded
        if not self.ranker.session.moves_items:
            return encoded.rows
        return np.concatenate([encoded.session, encoded.rows])

    def checkpoint(self) -> Draft:
        """The weights of now: only the rows touched since the last, every FULL_EVERYth time all of them."""
        self._consolidate()
        self._give_rows()
        due = self._is_settled()
        full = due or self._published % FULL_EVERY == 0
        carried = self._carried.touched if full else self._carried.unpublished
        given = {index: self._given_away(index) for index in Vocabulary.NAMES}
        rows = self._everything() if due else {name: some - {0} for name, some in carried.items()}
        loss = self._losses.mean
        draft = Draft(
            weights=extract(self.ranker, self.knowledge, rows, self._carried.name(rows, given, full), full),
            before=None if full or self._draft is None else self._draft.name,
            base=self._base.hash,
            folded=self._lineage.folded,
            examples_seen=self.examples_seen,
            metrics={} if loss is None else {"loss": loss.loss},
            tested=[] if loss is None else self._tested(loss),
            usual_loss=self._losses.expected,
        )
        self._losses.publish()
        self._draft, self._folding = draft, draft if due else None
        self._updater.publish()
        self._shares.publish()
        self._published += 1
        self._carried.publish()
        return draft

    def _is_settled(self) -> bool:
        """Whether a policy says that the adapter is to be folded into the base."""
        every, below = self._settings.consolidate_every, self._settings.consolidate_below
        many = bool(every) and self.examples_seen - self._lineage.since >= every
        return many or self._updater.pruned_energy < below  # NaN is not

    def _tested(self, loss: MeanLoss) -> list[MeanLoss]:
        """`loss`, of before each step; for the first checkpoint the newest ones' by the weights of now, too.

        No step moves a weight by more than the step size, and whether that is too much shows in the loss of
        the step after it. Behind the first there may be none.
        """
        if self._published:
            return [loss]
        newest = [self._still_true(example) for example in self._newest]
        return [loss, MeanLoss(self._updater.loss_of(newest), _pairs(newest))]

    def roll_back(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights and counts of an older version, a full checkpoint over the present base.

        What else the trainer knows stays: ledger, replay memory, and how many examples it has seen.
        Importance and optimiser begin anew.

        Raises:
            CheckpointRefused: it is another base's.
        """
        self._stand_on(self._base)
        known = self.knowledge
        known.counters.load(self._base.counts)
        known.counters.tables["items"][np.flatnonzero(self._given_away("items"))] = 0
        known.vocabulary.tick()
        apply(self.ranker, known, tensors, base_numbering(known, self._base.ids), full=True)
        self._intake.given = {name: set() for name in Vocabulary.CHANGING}
        self._carried.restore(self._everything())
        self._published, self._draft, self._folding = 0, None, None
        self._losses.restore(None)

    def _everything(self) -> dict[str, set[int]]:
        return {name: set(range(1, len(self.knowledge.vocabulary.index(name)))) for name in Vocabulary.NAMES}

    def _consolidate(self) -> None:
        """If a checkpoint is to be folded, go on over the base that it amounts to, with a new adapter.

        Comes before anything else is learned or given a row. Rows keep their numbers, and ledger and memory
        what they hold.
        """
        draft, self._folding = self._folding, None
        if draft is None:
            return
        now = self.knowledge.vocabulary.tick() - 1
        self._lineage = Lineage(folded=draft.version, since=draft.examples_seen, at=now)
        self._stand_on(consolidate(self._base, decode(draft.payload)[0]))
        self._carried.restore({})
        self._published, self._draft = 0, None

    def _stand_on(self, base: Base) -> None:
        self._base = base
        self.ranker = adapted(base.ranker(), self._settings.rank, self._seed).to(self._device)
        if self._settings.compile:
            compile_session(self.ranker)
        for index in Vocabulary.CHANGING:
            reset(self.ranker, index, np.flatnonzero(self._given_away(index)))
        self._updater = Updater(self.ranker, self.knowledge, self._settings, self._device, self._ranks)

    def _given_away(self, index: str) -> NDArray[np.bool_]:
        """By row of the base: was it another's since, though its owner may have it again?"""
        turnover = self.knowledge.vocabulary.turnovers().get(index)
        rows = 1 + len(self._base.ids.get(index, ()))
        return np.zeros(rows, np.bool_) if turnover is None else turnover.born[:rows] > self._lineage.at

    def snapshot(self) -> TrainerState:
        """All trainer state: whoever restores its payload goes on as if nothing had happened."""
        self._give_rows()
        known = self.knowledge
        return TrainerState(
            tensors={name: tensor.cpu() for name, tensor in self._tensors()},
            words=self._words(),
            touched={name: set(rows) for name, rows in self._carried.touched.items()},
            ledger=self._intake.ledger.snapshot(),
            memory=self._memory.snapshot(),
            base=b"" if self._base is self._root else self._base.payload,
            ranking=None if known.ranking is None else known.ranking.copy(),
        )

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Copies of all that is tensors."""
        yield from ((f"adapter.{name}", view.clone()) for name, view in adapter_state(self.ranker).items())
        yield from _under("updater", self._updater.snapshot())
        yield from _under("counts", _as_tensors(self.knowledge.counters.snapshot()))
        for index, turnover in self.knowledge.vocabulary.turnovers().items():
            yield from _under(f"turnover.{index}", _as_tensors(turnover.snapshot()))
        yield "intercept", self.ranker.heads.intercept.detach().clone()

    def _words(self) -> Words:
        turnovers = self.knowledge.vocabulary.turnovers()
        return Words(
            base=self._root.hash,
            ids=self.knowledge.vocabulary.snapshot(),
            rng=json.dumps(self._rng.bit_generator.state),
            examples_seen=self.examples_seen,
            usual_loss=self._losses.usual,
            lineage=self._lineage,
            shares=self._shares.snapshot(),
            waiting={index: turnover.waiting() for index, turnover in turnovers.items()},
        )

    def restore(self, raw: bytes) -> None:
        """Take back a snapshot, in a learner of the same base and settings.

        Raises:
            SnapshotError: it is another base's or another rank's, or damaged. Nothing has changed then.
        """
        state = unpack(raw)
        if state.words.base != self._root.hash:
            raise SnapshotError(f"snapshot: expected base {self._root.hash}, got {state.words.base}")
        self._check_rank(state.tensors["adapter.tower.text.lam"].numel())
        self._give_rows()
        self._lineage = state.words.lineage
        self._restore_ids(state)
        self._restore_base(state.base or self._root.payload)
        self._restore_tensors(state.tensors)
        self._restore_state(state)

    def _check_rank(self, found: int) -> None:
        expected = f"{variable('rank')}={self._settings.rank}"
        if found != self._settings.rank:
            raise SnapshotError(f"snapshot: expected an adapter of {expected}, got one of {found}")

    def _restore_ids(self, state: TrainerState) -> None:
        """Take back who owns which row; items that came to the catalogue since keep a row."""
        vocabulary, catalogue = self.knowledge.vocabulary, self.knowledge.catalogue
        candidates, rows = catalogue.candidate_ids(), np.flatnonzero(catalogue.known)
        replaced = {name: vocabulary.index(name).restore(state.words.ids[name]) for name in Vocabulary.NAMES}
        for name, turnover in vocabulary.turnovers().items():
            ticks = {key: tensor.numpy() for key, tensor in below(f"turnover.{name}.", state.tensors).items()}
            turnover.restore(ticks, state.words.waiting[name])
        if replaced["items"]:
            catalogue.renumber(candidates, rows)

    def _restore_base(self, payload: bytes) -> None:
        """Stand on the base of this payload, as the rows have owners now."""
        held = (base for base in (self._base, self._root) if base.payload == payload)
        self._stand_on(next(held, None) or parse_base(payload))

    def _restore_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        load_adapter_state(self.ranker, below("adapter.", tensors))
        with torch.no_grad():
            self.ranker.heads.intercept.copy_(tensors["intercept"])
        self._updater.restore(below("updater.", tensors))
        self.knowledge.counters.load({name: t.numpy() for name, t in below("counts.", tensors).items()})
        if self.knowledge.ranking is not None:
            self.knowledge.ranking.restore({n: t.numpy() for n, t in below("ranking.", tensors).items()})

    def _restore_state(self, state: TrainerState) -> None:
        words = state.words
        self._losses.restore(words.usual_loss)
        self._newest = ()
        self._intake.ledger.restore(state.ledger)
        self._memory.restore(state.memory)
        self._rng.bit_generator.state = json.loads(words.rng)
        self._carried.restore(state.touched)
        self.examples_seen = words.examples_seen
        # Scorers may be ahead of this state: only a full checkpoint takes them back to it.
        self._published, self._draft, self._folding = 0, None, None
        self._shares.restore(words.shares)


def _under(part: str, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((f"{part}.{name}", tensor) for name, tensor in state.items())


def _as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def _pairs(examples: Sequence[Example]) -> int:
    """How many outcomes there are, rivals left out."""
    return sum(len(example.positions) - len(example.log_q) for example in examples)
