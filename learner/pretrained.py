"""SHELL: Hugging Face models, by hub id or directory: one that reads sessions, or the last blocks of texts'.

The base that is trained with it keeps shape and weights, so that nobody else needs the directory or the hub.
"""

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from learner.backbone import described_backbone
from schemas.errors import BaseError


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
    """A model's configuration as JSON, as `RankerSettings.backbone` holds it, and its weights by name."""

    config: str
    weights: dict[str, Tensor]

    def settle(self, transformer: nn.Module) -> None:
        """Give a model of this configuration these weights, and freeze them; in place."""
        transformer.load_state_dict(self.weights)
        transformer.requires_grad_(False)


def load_backbone(name: str, tokens: int) -> Pretrained:
    """Read a model that is to be fed with up to `tokens` vectors.

    Its token table is left out: vectors come in its place.

    Raises:
        BaseError: there is no such model, or none that reads a sequence of vectors so long.
    """
    try:
        config = AutoConfig.from_pretrained(name)
        _check(config, name, tokens)
        model = AutoModel.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise BaseError(f"backbone {name}: expected a Hugging Face model, cannot read it: {error}") from error
    return _described(model, config)


def load_text_blocks(name: str, blocks: int) -> Pretrained:
    """Read the last blocks of a text encoder that is at hand.

    What it does before them, its embeddings among it, is left out: token states come in their place.

    Raises:
        BaseError: it does not have so many.
    """
    config = AutoConfig.from_pretrained(name)
    layers = config.num_hidden_layers
    if config.is_encoder_decoder or blocks > layers:
        raise BaseError(f"text encoder {name}: expected one stack of {blocks} blocks or more, got {layers}")
    model = AutoModel.from_pretrained(name, dtype=torch.float32)
    for parent in list(model.modules()):
        for child_name, child in list(parent.named_children()):
            if isinstance(child, nn.ModuleList) and len(child) == layers:
                setattr(parent, child_name, child[-blocks:])
    config.num_hidden_layers = blocks
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[-blocks:]
    last = _described(model, config)
    weights = {key: tensor for key, tensor in last.weights.items() if not key.startswith("embeddings.")}
    return Pretrained(config=last.config, weights=weights)


def _described(model: Any, config: Any) -> Pretrained:
    described = config.to_dict() | {"vocab_size": 1 + (config.pad_token_id or 0), "dtype": "float32"}
    text = json.dumps(described, sort_keys=True)
    return Pretrained(config=text, weights=_weights(model, described_backbone(text)[0]))


def _check(config: Any, name: str, tokens: int) -> None:
    if config.is_encoder_decoder:
        raise BaseError(f"backbone {name}: expected one stack of layers, got an encoder with a decoder")
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and most < tokens:
        raise BaseError(f"backbone {name}: expected positions for {tokens} tokens, got {most}")


def _weights(model: Any, like: Any) -> dict[str, Tensor]:
    """The weights of a model under the names, and turned as, of another of its kind with a small table."""
    own, table = model.state_dict(), like.get_input_embeddings().weight
    weights = {}
    for name, parameter in like.state_dict(keep_vars=True).items():
        given = torch.zeros_like(parameter) if parameter is table else own[name]
        # A Conv1D of GPT-2 keeps its weight the other way round than the linear layer that stands for it.
        turned = _is_conv(model, name) and given.ndim == 2
        weights[name] = (given.T if turned else given).detach().contiguous()
    return weights


def _is_conv(model: nn.Module, name: str) -> bool:
    return type(model.get_submodule(name.rpartition(".")[0])).__name__ == "Conv1D"
