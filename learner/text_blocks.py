"""PURE: the last blocks of a text encoder, over token states that its frozen trunk gave once and for all."""

import json
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig

from learner.backbone import described_backbone


class TextBlocks(nn.Module):
    """Token states → sentence vectors; what moves here is adapted as any other linear layer of the ranker.

    `config` is that of a Hugging Face model which has only these blocks, JSON as from `to_dict`.

    It is work for a GPU. On one CPU core an update of 64 slates over 3,000 film titles (all-MiniLM-L6-v2, one
    block, sessions of 20) took 1.8 s against .04 s without, and a version's vectors of all of them 2.5 s.
    """

    def __init__(self, config: str) -> None:
        super().__init__()
        self.model: Any = described_backbone(config)[0]
        if hasattr(self.model, "embeddings"):
            self.model.embeddings = _Given()

    def forward(self, states: Tensor) -> Tensor:
        """States [n, l, width], all zero behind a text's last token → [n, width], of unit length.

        A text without tokens has the vector zero, and costs nothing.
        """
        there = (states != 0).any(-1)
        lengths = there.sum(-1)
        vectors = states.new_zeros(len(states), states.shape[-1])
        for most in _lengths(states.shape[1]):
            own = ((lengths > most // 2) & (lengths <= most)).nonzero().squeeze(-1)
            if len(own):
                read = self._read(states[own, :most], there[own, :most])
                vectors = vectors.index_copy(0, own, read.to(vectors.dtype))
        return vectors

    def _read(self, states: Tensor, there: Tensor) -> Tensor:
        hidden = self.model(inputs_embeds=states, attention_mask=there.long(), use_cache=False)
        return pooled(hidden.last_hidden_state, there)


def pooled(hidden: Tensor, there: Tensor) -> Tensor:
    """The mean state of the tokens that are there, of unit length: [n, l, width], [n, l] → [n, width]."""
    mask = there.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
    return functional.normalize(mean, dim=-1)


def blocks_in(config: str) -> int:
    """How many blocks a model of this configuration has."""
    blocks: int = AutoConfig.for_model(**json.loads(config)).num_hidden_layers
    return blocks


def _lengths(longest: int) -> list[int]:
    """Bounds between which texts are read together: with a long one, short ones would be mostly padding.

    >>> _lengths(20)
    [1, 2, 4, 8, 16, 32]
    """
    return [1 << power for power in range((longest - 1).bit_length() + 1)] if longest else []


class _Given(nn.Module):
    """In the place of a model's embeddings: states come as they are."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Tensor:
        return inputs_embeds
