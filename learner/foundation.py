"""SHELL: what a base is trained from: the shape and the encoders of texts and sessions that settings name."""

from dataclasses import dataclass, replace
from pathlib import Path

from learner.pretrained import Pretrained, load_backbone
from learner.ranker import RankerSettings
from learner.settings import LearnerSettings
from learner.text import DEFAULT_TEXT_ENCODER, TextEncoder
from schemas.errors import BaseError


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A base's shape, the encoder of its texts with the name, and a pretrained session encoder, if any."""

    shape: RankerSettings
    text_encoder: str
    embed: TextEncoder
    backbone: Pretrained | None


def lay_foundation(settings: LearnerSettings, device: str) -> Foundation:
    """Read the models that the settings name.

    Raises:
        BaseError: there is no such model, or it cannot serve.
    """
    shape = RankerSettings(layers=settings.session_layers)
    backbone = load_backbone(settings.backbone, shape.tokens) if settings.backbone else None
    if backbone is not None:
        shape = replace(shape, backbone=backbone.config)
    name = settings.text_encoder or DEFAULT_TEXT_ENCODER
    embed = TextEncoder(Path(settings.state_dir), name, device)
    if settings.text_encoder:
        shape = replace(shape, text_width=_width(embed, name))
    return Foundation(shape=shape, text_encoder=name, embed=embed, backbone=backbone)


def _width(embed: TextEncoder, name: str) -> int:
    try:
        width: int = embed(["width"]).shape[1]
        return width
    except (OSError, ValueError) as error:
        embed.close()
        raise BaseError(
            f"text encoder {name}: expected a Hugging Face model, cannot read it: {error}"
        ) from error
