"""The frozen base: every weight but the text trunk, with the rows and counts it was trained with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from learner.catalogue import Embed, Keys
from learner.knowledge import Knowledge
from learner.ranker import TABLES, Ranker, RankerSettings
from schemas.errors import BaseError

FILE = "base.safetensors"
_COUNTS, _RANKING = "counts.", "ranking."


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """Weights are named as in `Ranker`; tables hold only the rows that `ids` name, row 0 first."""

    settings: RankerSettings
    text_encoder: str
    keys: Keys
    ids: Mapping[str, Sequence[str]]
    weights: Mapping[str, Tensor]
    counts: Mapping[str, NDArray[np.floating]]
    ranking: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @cached_property
    def payload(self) -> bytes:
        """The base as safetensors bytes."""
        tensors = {name: tensor.contiguous() for name, tensor in self.weights.items()}
        tensors |= {_COUNTS + name: torch.from_numpy(values) for name, values in self.counts.items()}
        tensors |= {_RANKING + name: torch.from_numpy(values) for name, values in self.ranking.items()}
        described = {
            "settings": _described(self.settings),
            "text_encoder": self.text_encoder,
            "keys": asdict(self.keys),
            "ids": {name: list(ids) for name, ids in self.ids.items()},
        }
        payload: bytes = save(tensors, metadata={"base": json.dumps(described, ensure_ascii=False)})
        return payload

    @cached_property
    def hash(self) -> str:
        """Content hash: a checkpoint names the base it belongs to by it."""
        return hashlib.sha256(self.payload).hexdigest()[:16]

    def ranker(self, rows: Mapping[str, NDArray[np.int64]] | None = None) -> Ranker:
        """A new ranker with these weights, every parameter frozen, in evaluation mode.

        `rows` says, by index, where the rows of the tables belong; by default where the base has them.
        """
        ranker = Ranker(self.settings)
        own = ranker.state_dict()
        for table in TABLES:  # an id that the base does not know is nothing yet, and the same to everyone
            own[f"{table}.weight"].zero_()
        for name, tensor in self.weights.items():
            index = TABLES.get(name.removesuffix(".weight"))
            if index is None or rows is None:
                own[name][tuple(slice(size) for size in tensor.shape)] = tensor
            else:
                own[name][torch.from_numpy(rows[index][: len(tensor)])] = tensor
                own[name][0] = 0  # where rows without a place went
        ranker.load_state_dict(own)
        return ranker.requires_grad_(False).eval()

    def knowledge(self, embed: Embed) -> Knowledge:
        """New rows and counts as they were when the base was trained; the catalogue is empty."""
        return Knowledge(self.settings, self.keys, embed, self.ids, self.counts, self.ranking)


def freeze(ranker: Ranker, knowledge: Knowledge, text_encoder: str) -> Base:
    """The base of a trained ranker."""
    weights = {name: tensor.detach().cpu().clone() for name, tensor in ranker.state_dict().items()}
    for table, index in TABLES.items():
        used = len(knowledge.vocabulary.index(index))
        weights[f"{table}.weight"] = weights[f"{table}.weight"][:used].clone()
    return Base(
        settings=ranker.settings,
        text_encoder=text_encoder,
        keys=knowledge.catalogue.keys,
        ids=knowledge.vocabulary.snapshot(),
        weights=weights,
        counts=knowledge.counters.snapshot(),
        ranking={} if knowledge.ranking is None else knowledge.ranking.snapshot(),
    )


def save_base(base: Base, directory: Path) -> Path:
    """Write the base into a directory, whole or not at all; returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f"{FILE}.partial"
    partial.write_bytes(base.payload)
    return partial.replace(directory / FILE)


def load_base(directory: Path) -> Base:
    """Read a base.

    Raises:
        BaseError: there is none, or it cannot be read.
    """
    path = directory / FILE
    if not path.is_file():
        raise BaseError(f"{path}: expected a base, found no file; train one with `freshrank backfill`")
    try:
        return parse_base(path.read_bytes())
    except (BaseError, OSError) as error:
        raise BaseError(f"{path}: {error}") from error


def parse_base(payload: bytes) -> Base:
    """The base whose `payload` this is.

    Raises:
        BaseError: it is none's.
    """
    try:
        size = int.from_bytes(payload[:8], "little")
        described = json.loads(json.loads(payload[8 : 8 + size])["__metadata__"]["base"])
        tensors = load(payload)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BaseError(f"expected a base, cannot read it: {error}") from error
    parts = (_COUNTS, _RANKING)
    counts, ranking = (
        {name.removeprefix(part): tensor.numpy() for name, tensor in tensors.items() if name.startswith(part)}
        for part in parts
    )
    return Base(
        settings=RankerSettings(**described["settings"]),
        text_encoder=described["text_encoder"],
        keys=_keys(described["keys"]),
        ids=described["ids"],
        weights={name: tensor for name, tensor in tensors.items() if not name.startswith(parts)},
        counts=counts,
        ranking=ranking,
    )


_LATER = ("text_blocks", "by_surface")
"""Settings that came later: a base without them keeps the hash that it had."""


def _described(settings: RankerSettings) -> dict[str, Any]:
    return {key: value for key, value in asdict(settings).items() if value or key not in _LATER}


def _keys(described: Mapping[str, Sequence[str]]) -> Keys:
    return Keys(**{field: tuple(keys) for field, keys in described.items()})
