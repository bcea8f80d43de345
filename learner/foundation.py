"""SHELL: what a base is trained from: the shape and the encoders of texts and sessions that settings name."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from learner.base import Base
from learner.pretrained import Pretrained, load_backbone, load_text_blocks
from learner.ranker import RankerSettings
from learner.settings import LearnerSettings
from learner.text import DEFAULT_TEXT_ENCODER, TextEncoder, model_path
from learner.text_blocks import TextBlocks
from learner.token_states import padded
from schemas.errors import BaseError

_PROBE: Final = ("a few words", "and some more of them, so that one is shorter")
_ALIKE: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A base's shape, the encoder of its texts with the name, and a pretrained session encoder, if any.

    `blocks` are the last ones of the text encoder, where the stream is to adapt them.
    """

    shape: RankerSettings
    text_encoder: str
    embed: TextEncoder
    backbone: Pretrained | None
    blocks: Pretrained | None

    def complete(self, base: Base) -> Base:
        """A base that was trained on this, with the blocks that the stream adapts.

        They come last: as long as they stand still they give the vectors that the base was trained with.
        """
        if self.blocks is None:
            return base
        weights = {f"tower.blocks.model.{name}": tensor for name, tensor in self.blocks.weights.items()}
        settings = replace(base.settings, text_blocks=self.blocks.config)
        return replace(base, settings=settings, weights={**base.weights, **weights})


def lay_foundation(settings: LearnerSettings, device: str) -> Foundation:
    """Read the models that the settings name.

    Raises:
        BaseError: there is no such model, or it cannot serve.
    """
    shape = RankerSettings(layers=settings.session_layers, by_surface=settings.position_by_surface)
    backbone = load_backbone(settings.backbone, shape.tokens) if settings.backbone else None
    if backbone is not None:
        shape = replace(shape, backbone=backbone.config)
    name = settings.text_encoder or DEFAULT_TEXT_ENCODER
    embed = TextEncoder(Path(settings.state_dir), name, device)
    try:
        if settings.text_encoder:
            shape = replace(shape, text_width=_width(embed, name))
        blocks = _blocks(embed, name, settings.text_blocks) if settings.text_blocks else None
    except BaseError:
        embed.close()
        raise
    return Foundation(shape=shape, text_encoder=name, embed=embed, backbone=backbone, blocks=blocks)


def _blocks(embed: TextEncoder, name: str, count: int) -> Pretrained:
    """The last blocks of a text encoder, if from what enters them they give the vectors of the whole.

    Some model does more between two blocks than to hand on its states, and cannot be cut.
    """
    try:
        blocks = load_text_blocks(model_path(name), count)
        apart = _apart(embed, blocks, count)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise BaseError(f"text encoder {name}: expected one to be cut into blocks, got {error}") from error
    if not apart < _ALIKE:
        raise BaseError(f"text encoder {name}: expected the same vectors when cut, got some {apart:.2g} off")
    return blocks


def _apart(embed: TextEncoder, blocks: Pretrained, count: int) -> float:
    """How far vectors by way of token states are from those of the whole encoder."""
    cut = TextBlocks(blocks.config).eval()
    blocks.settle(cut.model)
    vectors = embed(_PROBE)
    states = torch.from_numpy(padded(embed.states(_PROBE, count), vectors.shape[1]))
    return float((cut(states) - torch.from_numpy(vectors)).abs().max())


def _width(embed: TextEncoder, name: str) -> int:
    try:
        width: int = embed(["width"]).shape[1]
        return width
    except (OSError, ValueError) as error:
        raise BaseError(
            f"text encoder {name}: expected a Hugging Face model, cannot read it: {error}"
        ) from error
