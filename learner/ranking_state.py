"""PURE: what a checkpoint carries of the affinities: the engagements since its parent, or all in a full one.

Rows travel under the learner's numbers, as in `learner.scoring_state`. Tensor names: `engaged.rows` [k, 1 +
WINDOW], the item and those before it, a disliked one negative; `engaged.ts`, `engaged.satisfaction` [k];
`affinities.*` as `Affinities.snapshot` names them, empty where the parent has them already.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learner.affinities import WINDOW, Affinities, Engagement
from learner.ranking import Ranking

_STATE = "affinities."


def extract_ranking(
    ranking: Ranking | None, full: bool, numbering: NDArray[np.int64] | None = None
) -> dict[str, Tensor]:
    """Tensors for a checkpoint; nothing where the model does not rank. Forgets what is now published.

    In a full one rows go under the numbers that stand for them by `numbering`, if that is given.
    """
    if ranking is None:
        return {}
    engagements, ranking.unpublished = [] if full else ranking.unpublished, []
    state = (ranking.affinities if full else Affinities(1)).snapshot()
    if numbering is not None:
        state = _renumbered(state, _inverse(numbering))
    tensors = {_STATE + name: torch.from_numpy(array) for name, array in state.items()}
    return tensors | _pack(engagements)


def apply_ranking(
    ranking: Ranking, tensors: Mapping[str, Tensor], own: NDArray[np.int64], full: bool
) -> None:
    """Put a checkpoint's affinities into a ranking, in place; `own` is the row of each of its numbers."""
    if full:
        state = {n.removeprefix(_STATE): t.numpy() for n, t in tensors.items() if n.startswith(_STATE)}
        ranking.affinities.restore(_renumbered(state, own))
    for engagement in _unpack(tensors, own):
        ranking.affinities.fold(engagement)


def ranking_shapes() -> dict[str, tuple[int | None, ...]]:
    """The tensors that a checkpoint of a ranking model must hold; None where a size is free."""
    state = {_STATE + name: (None, *array.shape[1:]) for name, array in Affinities(1).snapshot().items()}
    return state | {
        "engaged.rows": (None, 1 + WINDOW),
        "engaged.ts": (None,),
        "engaged.satisfaction": (None,),
    }


def _pack(engagements: Sequence[Engagement]) -> dict[str, Tensor]:
    rows = np.zeros((len(engagements), 1 + WINDOW), np.int32)
    for line, one in zip(rows, engagements, strict=True):
        line[0] = one.row
        line[1 : 1 + len(one.recent)] = np.where(one.recent_liked, one.recent, -one.recent)
    return {
        "engaged.rows": torch.from_numpy(rows),
        "engaged.ts": torch.tensor([one.ts for one in engagements], dtype=torch.int64),
        "engaged.satisfaction": torch.tensor([one.satisfaction for one in engagements], dtype=torch.float64),
    }


def _unpack(tensors: Mapping[str, Tensor], own: NDArray[np.int64]) -> list[Engagement]:
    rows = tensors["engaged.rows"].numpy()
    times, satisfactions = tensors["engaged.ts"].tolist(), tensors["engaged.satisfaction"].tolist()
    return [
        Engagement(
            row=int(own[line[0]]),
            ts=ts,
            satisfaction=satisfaction,
            recent=own[np.abs(line[1:])].astype(np.int32),
            recent_liked=line[1:] > 0,
        )
        for line, ts, satisfaction in zip(rows, times, satisfactions, strict=True)
    ]


def _inverse(numbering: NDArray[np.int64]) -> NDArray[np.int64]:
    """By row: the number that stands for it; 0 where none does."""
    numbers = np.zeros(int(numbering.max(initial=0)) + 1, np.int64)
    numbers[numbering] = np.arange(len(numbering))
    numbers[0] = 0
    return numbers


def _renumbered(
    state: Mapping[str, NDArray[np.generic]], own: NDArray[np.int64]
) -> dict[str, NDArray[np.generic]]:
    """The same under own rows; what has no row here is left out."""
    renumbered = dict(state)
    for name in ("counts", "fading", "last_ts"):
        rows = own[: len(state[name])]
        renumbered[name] = np.zeros((int(rows.max(initial=0)) + 1, *state[name].shape[1:]), state[name].dtype)
        renumbered[name][rows] = state[name]
        renumbered[name][0] = 0
    for table in {name.rpartition(".")[0] for name in state if name.endswith(".owner")}:
        owners, rows = (own[state[f"{table}.{part}"].astype(np.int64)] for part in ("owner", "row"))
        kept = (owners > 0) & (rows > 0)
        renumbered[f"{table}.owner"] = owners[kept].astype(np.int32)
        renumbered[f"{table}.row"] = rows[kept].astype(np.int32)
        renumbered[f"{table}.weight"] = state[f"{table}.weight"][kept]
        crowded = own[state[f"{table}.crowded"].astype(np.int64)]
        renumbered[f"{table}.crowded"] = crowded[crowded > 0].astype(np.int32)
    return renumbered
