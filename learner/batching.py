"""PURE: encoded queries → tensors of one batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.catalogue import Catalogue
from learner.encoding import Encoded
from learner.rows import Vocabulary
from learner.token_states import padded


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An encoded slate with what is to be learned of it: [n, K] float32, positions [n].

    Where it is a choice from the whole catalogue, the first of the n was chosen, the other m are negatives,
    and `log_q` [m] is the log of how often each was to be drawn; else `log_q` is empty. `taken` is the
    vocabulary's time at which its rows were looked up: a row may have a new owner since (`still_true`).
    """

    encoded: Encoded
    positions: NDArray[np.int32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    log_q: NDArray[np.float32]
    taken: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B queries with M pairs over U distinct items, and l the longest session.

    `session` [B, l] and `pair_item` [M] index into the U items; sessions are padded on the right.
    """

    item_rows: Tensor  # [U] int64
    item_text: Tensor  # [U, text width], or token states [U, t, text width]
    item_attributes: Tensor  # [U, SLOTS] int64
    session: Tensor  # [B, l] int64
    actions: Tensor  # [B, l] int64
    satisfactions: Tensor  # [B, l] int64
    ages: Tensor  # [B, l] int64
    lengths: Tensor  # [B] int64
    query: Tensor  # [B, text width], or token states [B, t, text width]; zero where nothing was searched for
    users: Tensor  # [B] int64
    contexts: Tensor  # [B] int64
    pair_slate: Tensor  # [M] int64
    pair_item: Tensor  # [M] int64
    features: Tensor  # [M, F]


def still_true(example: Example, vocabulary: Vocabulary) -> Example:
    """The same without what it says of rows that were given to another id since: they become row 0."""
    turnovers = vocabulary.turnovers()
    if all(turnover.latest <= example.taken for turnover in turnovers.values()):
        return example
    encoded, items, users = example.encoded, turnovers["items"].born, turnovers["users"].born
    gone = items[encoded.rows] > example.taken
    before, user_gone = items[encoded.session] > example.taken, users[encoded.user] > example.taken
    if not (gone.any() or before.any() or user_gone):
        return example
    kept = replace(
        encoded,
        user=0 if user_gone else encoded.user,
        session=np.where(before, 0, encoded.session),
        rows=np.where(gone, 0, encoded.rows),
    )
    return replace(example, encoded=kept, weights=np.where(gone[:, None], 0, example.weights))


def collate(
    encoded: Sequence[Encoded],
    catalogue: Catalogue,
    device: torch.device | str = "cpu",
    with_text: bool = True,
) -> Batch:
    """Pad and stack encoded queries; each distinct item is carried once.

    The items' text is of no use to a ranker that is given their vectors.
    """
    lengths = np.array([len(one.session) for one in encoded])
    counts = np.array([len(one.rows) for one in encoded])
    flat = np.concatenate([*(one.session for one in encoded), *(one.rows for one in encoded)])
    item_rows, inverse = np.unique(flat, return_inverse=True)
    tokens = int(lengths.sum())
    padded = partial(_padded, lengths, device)

    def move(values: NDArray[np.generic], dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.as_tensor(values, dtype=dtype).to(device)

    return Batch(
        item_rows=move(item_rows),
        item_text=move(catalogue.told(item_rows if with_text else item_rows[:0]), torch.float32),
        item_attributes=move(catalogue.attributes[item_rows]),
        session=padded(inverse[:tokens]),
        actions=padded(np.concatenate([one.actions for one in encoded])),
        satisfactions=padded(np.concatenate([one.satisfactions for one in encoded])),
        ages=padded(np.concatenate([one.ages for one in encoded])),
        lengths=move(lengths),
        query=move(_queries(encoded, catalogue), torch.float32),
        users=move(np.array([one.user for one in encoded])),
        contexts=move(np.array([one.context for one in encoded])),
        pair_slate=move(np.repeat(np.arange(len(encoded)), counts)),
        pair_item=move(inverse[tokens:]),
        features=move(np.concatenate([one.features for one in encoded]), torch.float32),
    )


def _padded(lengths: NDArray[np.int64], device: torch.device | str, values: NDArray[np.generic]) -> Tensor:
    """Values of all slates in a row as [slates, longest], zeros behind each."""
    longest = max(int(lengths.max(initial=0)), 1)
    out = np.zeros((len(lengths), longest), np.int64)
    out[np.arange(longest)[None, :] < lengths[:, None]] = values
    return torch.from_numpy(out).to(device)


def _queries(encoded: Sequence[Encoded], catalogue: Catalogue) -> NDArray[np.float32]:
    width = catalogue.text.shape[1]
    states = padded([one.query for one in encoded], width)
    if catalogue.states is not None:
        return states
    # A vector is one state; where nobody searched there is none.
    return states[:, 0] if states.shape[1] else np.zeros((len(encoded), width), np.float32)


def forget(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Make a random share of the items and of the users unknown: their ids, not what they are like.

    A base that saw every id of its log would lean on ids; in the stream many are new.
    """

    def dropped(rows: Tensor) -> Tensor:
        kept = torch.rand(rows.shape, generator=generator).to(rows.device) >= share
        return rows * kept

    return replace(batch, item_rows=dropped(batch.item_rows), users=dropped(batch.users))
