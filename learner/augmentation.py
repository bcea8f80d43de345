"""PURE: other ways to say what an item is: its description shuffled, and some of it left out.

A base that reads one text an item, the same in every epoch, comes to lean on its exact words; the stream's
new items say less, or say it otherwise.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.batching import Batch
from learner.catalogue import Catalogue, Embed, described
from schemas.events import Item

DROPPED = 0.3
"""Share of an item's parts, but its title, that another way to say it leaves out."""


def reworded(item: Item, rng: np.random.Generator) -> str:
    """The item's text, its title first, with the other parts in any order and some of them left out.

    >>> item = Item(item_id="i", ts=0, title="Blue Train", tags=["jazz"], attributes={"label": "Blue Note"})
    >>> sorted({reworded(item, np.random.default_rng(seed)) for seed in range(20)})[:3]
    ['Blue Train', 'Blue Train. jazz', 'Blue Train. jazz. label: Blue Note']
    """
    title, *others = described(item)
    kept = [part for part in others if part and rng.random() >= DROPPED]
    return ". ".join([*([title] if title else []), *(kept[n] for n in rng.permutation(len(kept)))])


class Wordings:
    """Text vectors of every row in several wordings, the item's own among them; a batch draws from these."""

    def __init__(self, vectors: NDArray[np.float32], seed: int) -> None:
        """Take vectors [wordings, rows, width]."""
        self._vectors = torch.from_numpy(vectors)
        self._chance = torch.Generator().manual_seed(seed)

    def __call__(self, batch: Batch) -> Batch:
        """The batch with every item in a wording of its own."""
        rows = batch.item_rows.cpu()
        chosen = torch.randint(len(self._vectors), rows.shape, generator=self._chance)
        return replace(batch, item_text=self._vectors[chosen, rows].to(batch.item_text))

    def snapshot(self) -> Tensor:
        """The state of chance."""
        return self._chance.get_state()

    def restore(self, state: Tensor) -> None:
        """Take back what `snapshot` gave."""
        self._chance.set_state(state)


def wordings(
    catalogue: Catalogue,
    rows: NDArray[np.integer],
    items: Sequence[Item],
    embed: Embed,
    count: int,
    seed: int,
) -> Wordings | None:
    """`count` further wordings of the items of a catalogue, whose rows are given; None of none."""
    if not count or not items:
        return None
    rng = np.random.default_rng(seed)
    vectors = np.repeat(catalogue.text[None], 1 + count, 0)
    for one in vectors[1:]:
        one[rows] = embed([reworded(item, rng) for item in items])
        one[0] = 0  # of items that there was no row for
    return Wordings(vectors, seed)
