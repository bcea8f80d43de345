"""The transformer that reads a session; a Hugging Face model fed with vectors instead of tokens."""

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, LlamaConfig
from transformers.pytorch_utils import Conv1D

from learner.adapter import together

Pass = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""A way of reading sessions: what `last_states` takes and gives."""


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


def described_backbone(config: str) -> tuple[nn.Module, int]:
    """A model of a Hugging Face configuration, JSON as from `to_dict`, to be adapted; and its width.

    Its own weights are of no use yet. GPT-2's Conv1D become linear layers, which they are but for how
    they keep their weight; a pooler, which nobody asks here, goes.
    """
    model: Any = AutoModel.from_config(AutoConfig.for_model(**json.loads(config)))
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv1D):
                setattr(parent, name, nn.Linear(child.nx, child.nf))
    return model, model.config.hidden_size


def last_states(model: nn.Module, tokens: Tensor, last: Tensor) -> Tensor:
    """The model's state of the token number `last` [B] of each row of `tokens` [B, l, d]: [B, d].

    A model of Llama's plain shape is computed here, from its own layers: a pass of Hugging Face's code would
    compute every state of the last layer, most of its work, for one of them to be taken. It needs no mask:
    attention is causal, and what stands behind `last` is not read. Any other is asked itself, with one.
    """
    if _is_plain_llama(model):
        return _llama(model, tokens, last)
    there = torch.arange(tokens.shape[1], device=tokens.device) <= last[:, None]
    states = model(inputs_embeds=tokens, attention_mask=there.long(), use_cache=False).last_hidden_state
    taken: Tensor = states[torch.arange(len(tokens), device=tokens.device), last]
    return taken


def _is_plain_llama(model: Any) -> bool:
    config = model.config
    plain: bool = (
        config.model_type == "llama"
        and config.num_key_value_heads == config.num_attention_heads
        and config.hidden_act == "silu"
        and not (config.attention_bias or config.mlp_bias or config.attention_dropout)
    )
    return plain


def _llama(model: Any, x: Tensor, last: Tensor) -> Tensor:
    positions = torch.arange(x.shape[1], device=x.device)
    rotary = model.rotary_emb(x, positions[None])
    *earlier, final = model.layers
    for layer in earlier:
        x = _whole_layer(layer, x, rotary)
    state: Tensor = model.norm(_last_of_layer(final, x, rotary, positions, last))
    return state


Rotary = tuple[Tensor, Tensor]
"""Cosines and sines [1, l, width of a head]."""


def _whole_layer(layer: Any, x: Tensor, rotary: Rotary) -> Tensor:
    attention = layer.self_attn
    inner = _norm(layer.input_layernorm, x)
    projected = together((attention.q_proj, attention.k_proj, attention.v_proj), inner)
    q, k, v = _heads(projected, 3, attention.head_dim)
    q, k = _rotate(q, rotary), _rotate(k, rotary)
    x = x + attention.o_proj(_attend(q, k, v).flatten(2))
    return x + _mlp(layer, x)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention over [B, l, heads, width of a head].

    On a CPU it is in full precision, whatever the products are in: torch's way back in bfloat16 takes about
    six times as long there.
    """
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    if q.device.type == "cpu":
        q, k, v = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (q, k, v))
        with torch.autocast("cpu", enabled=False):
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(1, 2)


def _last_of_layer(layer: Any, x: Tensor, rotary: Rotary, positions: Tensor, last: Tensor) -> Tensor:
    """The states of one token of each row: keys and values of all tokens, but one query a row."""
    attention, each = layer.self_attn, torch.arange(len(x), device=x.device)
    inner = _norm(layer.input_layernorm, x)
    projected = together((attention.k_proj, attention.v_proj), inner)
    k, v = _heads(projected, 2, attention.head_dim)
    (q,) = _heads(attention.q_proj(inner[each, last]).unsqueeze(1), 1, attention.head_dim)
    q = _rotate(q, tuple(part[0, last, None] for part in rotary))
    scores = (q * _rotate(k, rotary)).sum(-1) * attention.scaling  # [B, l, heads]
    beyond = (positions > last[:, None]).unsqueeze(-1)
    weights = scores.masked_fill(beyond, -torch.inf).softmax(1)
    mixed = (weights.unsqueeze(-1) * v).sum(1).flatten(1)
    state: Tensor = x[each, last] + attention.o_proj(mixed)
    return state + _mlp(layer, state)


def _mlp(layer: Any, x: Tensor) -> Tensor:
    inner = _norm(layer.post_attention_layernorm, x)
    gate, up = together((layer.mlp.gate_proj, layer.mlp.up_proj), inner).chunk(2, -1)
    y: Tensor = layer.mlp.down_proj(functional.silu(gate) * up)
    return y


def _heads(projected: Tensor, parts: int, head_dim: int) -> tuple[Tensor, ...]:
    """Projections [B, l, parts · d] as so many [B, l, heads, width of a head]."""
    return projected.view(*projected.shape[:-1], parts, -1, head_dim).unbind(-3)


def _norm(norm: Any, x: Tensor) -> Tensor:
    return functional.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotate(x: Tensor, rotary: Any) -> Tensor:
    """Turn x [B, l, heads, width of a head] by its positions (Su et al., RoFormer), paired as in Llama."""
    cosine, sine = (part.unsqueeze(-2) for part in rotary)
    left, right = x.chunk(2, -1)
    turned: Tensor = x * cosine + torch.cat([-right, left], -1) * sine
    return turned
