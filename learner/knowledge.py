"""PURE: what is known of ids beside the weights: rows, catalogue, counts; and how to encode with it."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.catalogue import Catalogue, Embed, Keys
from learner.counters import Counters
from learner.encoding import Encoder
from learner.ranker import RankerSettings
from learner.ranking import Ranking
from learner.rows import Vocabulary
from learner.token_states import token_reader


class Knowledge:
    """Rows, catalogue, counts and the encoder over them; learner and scorer each hold one."""

    def __init__(
        self,
        settings: RankerSettings,
        keys: Keys,
        embed: Embed,
        ids: Mapping[str, Sequence[str]] | None = None,
        counts: Mapping[str, NDArray[np.float32]] | None = None,
        ranking: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self.vocabulary = Vocabulary(settings.capacities(), ids or {})
        self._tokens = token_reader(embed, settings.text_blocks)
        self.catalogue = Catalogue(self.vocabulary, keys, settings.text_width, embed, self._tokens)
        self.counters = Counters(self.vocabulary)
        self.counters.load(counts or {})
        self.ranking = Ranking(settings.items) if settings.ranking else None
        if self.ranking is not None and ranking:
            self.ranking.restore(ranking)
        self.encoder = self._encoder(settings.length)
        self._embed = embed

    def read(self, text: str | None) -> NDArray[np.float32] | None:
        """What a search is to the ranker: its vector [width], or token states [l · width]; None of none."""
        if not text:
            return None
        return (self._embed if self._tokens is None else self._tokens)([text])[0]

    def with_own_counts(self) -> "Knowledge":
        """The same rows and catalogue, shared, with a copy of the counts and of what goes together."""
        other = copy(self)
        other.counters = self.counters.copy()
        other.ranking = None if self.ranking is None else self.ranking.fork()
        other.encoder = other._encoder(self.encoder.length)
        return other

    def forget(self, index: str, rows: NDArray[np.integer]) -> None:
        """Let rows of `items` or `users` be as at birth: they have a new owner, or none."""
        if index == "items":
            self.catalogue.forget(rows)
            self.counters.tables["items"][rows] = 0
        if self.ranking is not None and len(rows):
            self.ranking.forget(index, rows)

    def _encoder(self, length: int) -> Encoder:
        affinities = None if self.ranking is None else self.ranking.affinities
        return Encoder(self.vocabulary, self.catalogue, self.counters, length, affinities)
