"""The transformer that reads a session; a Hugging Face model fed with vectors instead of tokens."""

from torch import nn
from transformers import AutoModel, LlamaConfig


def causal_backbone(width: int, layers: int, heads: int, length: int) -> nn.Module:
    """A small causal transformer with rotary positions, randomly initialised; backfill trains it.

    Its token embedding is never used (inputs are vectors) and is kept at a single row.
    """
    config = LlamaConfig(
        vocab_size=1,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=length,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model: nn.Module = AutoModel.from_config(config)
    return model
