"""Scores candidates with the newest verified checkpoint; a swap changes one reference, between two calls."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner import checkpoint
from learner.base import Base
from learner.batching import collate
from learner.catalogue import Embed, ReadTexts
from learner.consolidation import consolidate
from learner.encoding import Encoded
from learner.item_vectors import ItemVectors
from learner.knowledge import Knowledge
from learner.left_out import LeftOut
from learner.query import TASKS, Query
from learner.ranker import Ranker
from learner.rows import Vocabulary
from learner.scoring_state import (
    Numbering,
    adapter_rank,
    apply,
    base_numbering,
    expected_shapes,
    number_again,
    reset,
)
from learner.update import adapted
from schemas.checkpoint import Manifest
from schemas.errors import CheckpointRefused
from schemas.events import Item

_PAIRS = 65_536
"""Most pairs of one forward pass: bounds memory where whole catalogues are ranked."""


@dataclass(frozen=True, eq=False)
class _Version:
    """Everything one checkpoint scores with."""

    name: str | None
    ranker: Ranker
    knowledge: Knowledge
    numbering: Numbering
    items: ItemVectors


_Begun = tuple[Ranker, Knowledge, Numbering]
"""What a checkpoint is put into: all of it is the new version's own."""


class Scorer:
    """Serves one version at a time over a base; `apply` prepares the next beside it.

    All may be called from different threads. One at a time changes what is known: a version that is being
    prepared must not miss an item. Neither scoring nor the reading of texts waits for that.
    """

    def __init__(self, base: Base, embed: Embed, device: torch.device | str = "cpu") -> None:
        self._changing = Lock()
        self._base = base
        self._origin = base.hash
        self._bases = {base.hash: base}  # that of the start, the one before, and the present one
        self._device = device
        self._knowledge = base.knowledge(embed)
        ranker = base.ranker().to(device)
        self._knowledge.vocabulary.turn_over(1, self._knowledge.catalogue.known)
        numbering = base_numbering(self._knowledge, base.ids)
        items = ItemVectors(ranker, self._knowledge, device)
        self._frozen = _Version(None, ranker, self._knowledge, numbering, items)
        self._full: tuple[str, bytes] | None = None  # the last full checkpoint, which may come to be folded
        self._left_out = LeftOut(self._knowledge.vocabulary.items)
        self._serving = self._frozen

    @property
    def base_version(self) -> str:
        """The hash of the base that `frozen` asks, whatever was folded into it since."""
        return self._origin

    @property
    def version(self) -> str | None:
        """The version that is serving; None while it is the base alone."""
        return self._serving.name

    @property
    def base(self) -> Base:
        """What the serving version stands on: the base of the start, or what it was consolidated into."""
        return self._base

    @property
    def model(self) -> tuple[Ranker, Knowledge]:
        """What the serving version scores with; not to be changed."""
        return self._serving.ranker, self._serving.knowledge

    @property
    def numbering(self) -> Numbering:
        """The own row that each of the learner's numbers stands for in the serving version."""
        return self._serving.numbering

    def put_items(self, items: Sequence[Item]) -> None:
        """Add or replace items; they can be scored at once, by every version."""
        catalogue = self._knowledge.catalogue
        read = catalogue.read(items)
        with self._changing:
            rows = torch.from_numpy(self._put(items, read))
            self._reset_given()
            for version in {id(v): v for v in (self._frozen, self._serving)}.values():
                version.items.renew(rows)

    def remove_item(self, item_id: str) -> None:
        """Take an item out of the candidates."""
        with self._changing:
            self._left_out.remove(item_id)
            self._knowledge.catalogue.remove(item_id)

    def candidate_ids(self) -> list[str]:
        """Every item that can be recommended."""
        return self._knowledge.catalogue.candidate_ids()

    def apply(self, manifest: Manifest, payload: bytes) -> None:
        """Verify a checkpoint, prepare it, and serve it from the next call of `score` on.

        Raises:
            CheckpointRefused: it must not be served; the serving version stays.
        """
        with self._changing:
            self._apply(manifest, payload)

    def _apply(self, manifest: Manifest, payload: bytes) -> None:
        base = self._base_of(manifest)
        tensors = checkpoint.verify(manifest, payload, base.hash, expected_shapes(self._frozen.ranker))
        full = manifest.parent is None
        ranker, knowledge, before = self._stand_on(base, tensors) if full else self._follow(manifest)
        numbering = apply(ranker, knowledge, tensors, before, full)
        if ready := self._left_out.ready(self._given("items").tolist()):
            self._put(ready)
        self._reset_given()
        items = ItemVectors(ranker, knowledge, self._device)
        self._serving = _Version(manifest.version, ranker, knowledge, numbering, items)
        if full:
            self._full = manifest.version, payload

    def _put(self, items: Sequence[Item], read: ReadTexts | None = None) -> NDArray[np.int64]:
        rows = self._knowledge.catalogue.put(items, read).astype(np.int64)
        self._left_out.note(items, rows)
        return rows

    def _given(self, index: str) -> NDArray[np.int64]:
        """Rows that have just got a new owner."""
        turnover = self._knowledge.vocabulary.turnovers()[index]
        return np.flatnonzero((turnover.born == turnover.clock) & (turnover.born > 0))

    def _reset_given(self) -> None:
        """Let the base know nothing of rows that have just got a new owner."""
        for index in Vocabulary.CHANGING:
            rows = self._given(index)
            reset(self._frozen.ranker, index, rows)
            self._knowledge.forget(index, rows)
            numbering = self._frozen.numbering[index]
            numbering[np.isin(numbering, rows)] = 0
            if index == "items":
                self._frozen.items.renew(torch.from_numpy(rows))

    def _base_of(self, manifest: Manifest) -> Base:
        """The base that a checkpoint stands on: one that is held, or what its `folded` version amounts to.

        Raises:
            CheckpointRefused: that version is not at hand, or another base comes of it.
        """
        place = f"checkpoint {manifest.model}/{manifest.version}"
        if manifest.parent is not None:
            return self._base
        if manifest.base in self._bases:
            return self._bases[manifest.base]
        if self._full is None or manifest.folded != self._full[0]:
            raise CheckpointRefused(
                f"{place}: expected base {self._base.hash}, got {manifest.base}, into which "
                f"{manifest.folded or 'nothing'} was folded; that is not at hand"
            )
        base = consolidate(self._base, checkpoint.decode(self._full[1])[0])
        if base.hash != manifest.base:
            raise CheckpointRefused(
                f"{place}: expected base {manifest.base}, {manifest.folded} gave {base.hash}"
            )
        return base

    def _stand_on(self, base: Base, tensors: Mapping[str, Tensor]) -> _Begun:
        """Begin at the base that a full checkpoint is over; the one before is held, should they go back."""
        knowledge = self._knowledge.with_own_counts()
        knowledge.vocabulary.tick()
        numbering = number_again(knowledge, base.ids, tensors)
        self._reset_given()
        knowledge.counters.load_rows(base.counts, numbering)
        self._bases = {one.hash: one for one in (self._bases[self._origin], self._base, base)}
        self._base = base
        ranker = adapted(base.ranker(numbering), adapter_rank(tensors), seed=0).to(self._device)
        return ranker, knowledge, numbering

    def _follow(self, manifest: Manifest) -> _Begun:
        """Begin at the serving version, the checkpoint's parent."""
        serving = self._serving
        if manifest.parent != serving.name:
            raise CheckpointRefused(
                f"checkpoint {manifest.version}: expected as its parent the serving version "
                f"{serving.name}, got {manifest.parent}; the next full checkpoint will do"
            )
        serving.knowledge.vocabulary.tick()
        return fork(serving.ranker), serving.knowledge.with_own_counts(), serving.numbering

    def score(self, queries: Sequence[Query], frozen: bool = False) -> list[NDArray[np.float32]]:
        """Probabilities of every task, one array [n candidates, K] a query; `frozen` asks the base."""
        return self._score(self._frozen if frozen else self._serving, queries)

    def answer(self, queries: Sequence[Query]) -> tuple[str | None, list[NDArray[np.float32]]]:
        """Score by the serving version, and say which that was: a swap may come at any time."""
        version = self._serving
        return version.name, self._score(version, queries)

    def _score(self, version: _Version, queries: Sequence[Query]) -> list[NDArray[np.float32]]:
        return score(version.ranker, version.knowledge, queries, self._device, version.items)


@torch.no_grad()
def score(
    ranker: Ranker,
    knowledge: Knowledge,
    queries: Sequence[Query],
    device: torch.device | str,
    items: ItemVectors | None = None,
) -> list[NDArray[np.float32]]:
    """Probabilities of every task by a ranker as it is, one array [n candidates, K] a query.

    `items` are those of this ranker and knowledge, where there are any: they save the tower.
    """
    listed = [knowledge.encoder.shortlist(query) for query in queries]
    asked = [query if few is None else _only(query, few) for query, few in zip(queries, listed, strict=True)]
    vectors = [knowledge.read(query.session.query) for query in queries]
    encoded = knowledge.encoder.encode_many(asked, vectors)
    probabilities = []
    for part in _parts(encoded):
        if not any(len(one.rows) for one in part):  # without a session either, there is no item to look up
            probabilities += [np.zeros((0, len(TASKS)), np.float32) for _ in part]
            continue
        batch = collate(part, knowledge.catalogue, device, with_text=items is None)
        logits = ranker(batch, None if items is None else items.of(batch.item_rows))
        cuts = np.cumsum([len(one.rows) for one in part])[:-1]
        probabilities += np.split(torch.sigmoid(logits).float().cpu().numpy(), cuts)
    return [
        found if few is None else _spread(found, few, len(query.candidates))
        for found, few, query in zip(probabilities, listed, queries, strict=True)
    ]


def _only(query: Query, few: NDArray[np.intp]) -> Query:
    return replace(query, candidates=[query.candidates[index] for index in few])


def _spread(few: NDArray[np.float32], indices: NDArray[np.intp], n: int) -> NDArray[np.float32]:
    """Scores of n candidates of which only a few were worth scoring: the others are last."""
    every = np.zeros((n, few.shape[1]), np.float32)
    every[:, TASKS.index("negative")] = 1
    every[indices] = few
    return every


def _parts(encoded: Sequence[Encoded]) -> list[list[Encoded]]:
    parts: list[list[Encoded]] = []
    pairs = 0
    for one in encoded:
        if not parts or pairs + len(one.rows) > _PAIRS:
            parts.append([])
            pairs = 0
        parts[-1].append(one)
        pairs += len(one.rows)
    return parts


def fork(ranker: Ranker) -> Ranker:
    """A copy with weights of its own that learn, over the same frozen tensors."""
    shared = {id(p): p for p in ranker.parameters() if not p.requires_grad}
    return deepcopy(ranker, shared)
