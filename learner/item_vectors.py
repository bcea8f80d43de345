"""PURE: the items' vectors by one version of the weights, each worked out once."""

import numpy as np
import torch
from torch import Tensor

from learner.knowledge import Knowledge
from learner.ranker import Ranker

_AT_ONCE, _TEXTS_AT_ONCE = 8_192, 256
"""Items of one pass through the tower; fewer where that goes through blocks of the text encoder."""


class ItemVectors:
    """Vectors [rows, d] of every item row, by a ranker and knowledge that do not change.

    Vectors of text vectors cost little and are there from the start. Where blocks of the text encoder are
    adapted a new version would take seconds to read its catalogue: then each waits until it is first asked
    for. Threads may ask while another says what is to be renewed.
    """

    def __init__(self, ranker: Ranker, knowledge: Knowledge, device: torch.device | str) -> None:
        self._ranker, self._knowledge, self._device = ranker, knowledge, device
        capacity = knowledge.vocabulary.items.capacity
        self._vectors = torch.zeros(capacity, ranker.settings.width, device=device)
        self._waits = bool(ranker.settings.text_blocks)
        self._wanted, self._have = (
            np.ones(capacity, np.int64),
            np.zeros(capacity, np.int64),
        )  # how often renewed
        if not self._waits:
            self.renew(torch.arange(len(knowledge.vocabulary.items)))

    def renew(self, rows: Tensor) -> None:
        """Let rows [n] have the vectors of what their items are now."""
        if self._waits:
            self._wanted[rows.numpy()] += 1
        else:
            self._work_out(rows, _AT_ONCE)

    def of(self, rows: Tensor) -> Tensor:
        """The vectors of rows [n], on the device, [n, d]."""
        if self._waits:
            asked = rows.cpu().numpy()
            missing = np.unique(asked[self._have[asked] != self._wanted[asked]])
            wanted = self._wanted[missing]  # what is renewed meanwhile is worked out again
            self._work_out(torch.from_numpy(missing), _TEXTS_AT_ONCE)
            self._have[missing] = wanted
        return self._vectors[rows]

    @torch.no_grad()
    def _work_out(self, rows: Tensor, at_once: int) -> None:
        catalogue = self._knowledge.catalogue
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            numbers = part.numpy()
            text = torch.from_numpy(catalogue.told(numbers)).to(self._device)
            attributes = torch.from_numpy(catalogue.attributes[numbers]).long().to(self._device)
            on_device = part.to(self._device)
            self._vectors[on_device] = self._ranker.tower(on_device, text, attributes)
