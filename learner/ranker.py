"""The model: item tower, session encoder, heads. Shapes: B queries, U items, M pairs, K tasks, d = width."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from learner.backbone import Pass, causal_backbone, described_backbone, last_states
from learner.batching import Batch
from learner.encoding import ACTIONS, AGE_BUCKETS, SATISFACTION_BUCKETS
from learner.fading import FadingSession
from learner.features import FEATURES
from learner.match import MATCHES
from learner.query import TASKS
from learner.text_blocks import TextBlocks

MAX_POSITIONS = 64

_SPARSE = 8
"""With more users × items than so many times the pairs, affinities are worked out pair by pair."""


@dataclass(frozen=True, kw_only=True)
class RankerSettings:
    """The shape of the model; a base is trained for one shape and says so in its file.

    `layers` and `heads` are those of the transformer that reads sessions; without layers, fading means do.
    `backbone` is the configuration, as JSON, of a Hugging Face model that reads them instead.
    `ranking` says whether it chooses from a whole catalogue, as where a log names no slates: then it sees
    what goes together (`learner.match`). Base training sets it by its log.
    `text_blocks` is the configuration, as JSON, of the text encoder's last blocks where these are adapted.
    `by_surface` says whether every surface has a position bias of its own beside that of all.
    """

    width: int = 64
    layers: int = 0
    heads: int = 4
    length: int = 50
    text_width: int = 384
    hidden: int = 64
    items: int = 32_768
    users: int = 65_536
    attributes: int = 32_768
    contexts: int = 1_024
    ranking: bool = False
    backbone: str = ""
    text_blocks: str = ""
    by_surface: bool = False

    @property
    def tokens(self) -> int:
        """The longest sequence that a session encoder reads: start, session, and one to spare."""
        return self.length + 2

    @property
    def features(self) -> int:
        """Width F of the fast features."""
        return FEATURES + self.ranking * MATCHES

    def capacities(self) -> dict[str, int]:
        """Rows of each table."""
        return {name: getattr(self, name) for name in ("items", "users", "attributes", "contexts")}


class ItemTower(nn.Module):
    """v = LN(W_t t + Σ E_a[attribute] + e[item]); the id row is zero at birth: a cold item is its content.

    t is the text vector, or what the adapted blocks make of token states.
    """

    def __init__(self, settings: RankerSettings) -> None:
        super().__init__()
        self.blocks = TextBlocks(settings.text_blocks) if settings.text_blocks else nn.Identity()
        self.text = nn.Linear(settings.text_width, settings.width, bias=False)
        self.ids = _zero_embedding(settings.items, settings.width)
        self.attributes = _zero_embedding(settings.attributes, settings.width)
        nn.init.normal_(self.attributes.weight, std=0.05)
        with torch.no_grad():
            self.attributes.weight[0] = 0
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, rows: Tensor, text: Tensor, attributes: Tensor) -> Tensor:
        """Rows [U], text as a batch carries it, attribute rows [U, SLOTS] → v [U, d]."""
        v: Tensor = self.norm(self.read(text) + self.attributes(attributes).sum(1) + self.ids(rows))
        return v

    def read(self, text: Tensor) -> Tensor:
        """W_t t of texts as a batch carries them, [n, d]; zero of none."""
        projected: Tensor = self.text(self.blocks(text))
        return projected


class SessionEncoder(nn.Module):
    """A causal transformer over v + A[action] + S[satisfaction] + T[age]; the last state is the user now."""

    moves_items: ClassVar[bool] = True

    def __init__(self, settings: RankerSettings) -> None:
        super().__init__()
        width = settings.width
        self.actions = nn.Embedding(len(ACTIONS), width)
        self.satisfactions = nn.Embedding(SATISFACTION_BUCKETS, width)
        self.ages = nn.Embedding(AGE_BUCKETS, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.transformer: nn.Module
        self.into: nn.Module = nn.Identity()
        self.out: nn.Module = nn.Identity()
        if settings.backbone:
            self.transformer, inner = described_backbone(settings.backbone)
            self.into, self.out = nn.Linear(width, inner), nn.Linear(inner, width)
        else:
            self.transformer = causal_backbone(width, settings.layers, settings.heads, settings.tokens)
        self.run: Pass = last_states
        self.dropout = nn.Dropout(0.1)
        for table in (self.actions, self.satisfactions, self.ages):
            nn.init.normal_(table.weight, std=0.02)
        nn.init.normal_(self.start, std=0.02)

    def forward(self, tokens: Tensor, batch: Batch, query: Tensor) -> Tensor:
        """Item vectors of the session [B, l, d] and a query vector [B, d] (zero for none) → [B, d].

        A start token comes first, so that an empty session has a state too, and carries the query.
        """
        tokens = tokens + self.actions(batch.actions) + self.satisfactions(batch.satisfactions)
        tokens = self.dropout(tokens + self.ages(batch.ages))
        start = (self.start + query).unsqueeze(1)
        sequence = self.into(torch.cat([start, tokens], 1))
        state: Tensor = self.out(self.run(self.transformer, sequence, batch.lengths))
        return state


class Heads(nn.Module):
    """logit_k = ⟨H_k u, v⟩/√d + biases of item, attributes, user, context + MLP_k(features, u∘v)."""

    def __init__(self, settings: RankerSettings) -> None:
        super().__init__()
        self.width, tasks = settings.width, len(TASKS)
        self.project = nn.Linear(self.width, tasks * self.width, bias=False)
        nn.init.zeros_(self.project.weight)
        self.items = _zero_embedding(settings.items, tasks)
        self.attributes = _zero_embedding(settings.attributes, tasks)
        self.users = _zero_embedding(settings.users, tasks)
        self.contexts = _zero_embedding(settings.contexts, tasks)
        self.positions = nn.Embedding(MAX_POSITIONS, tasks)
        nn.init.zeros_(self.positions.weight)
        self.places: nn.Embedding | None = None
        if settings.by_surface:
            self.places = _zero_embedding(settings.contexts * MAX_POSITIONS, tasks)
        self.intercept = nn.Parameter(torch.zeros(tasks))
        self.normal = FeatureNorm(settings.features)
        self.hidden = nn.Linear(settings.features + self.width, settings.hidden)
        self.out = nn.Linear(settings.hidden, tasks)
        # Born as a model of its features: what an untrained session encoder says would only be noise.
        with torch.no_grad():
            self.hidden.weight[:, settings.features :] = 0
        self.dropout = nn.Dropout(0.1)

    def forward(self, u: Tensor, v: Tensor, batch: Batch) -> Tensor:
        """User states [B, d], item vectors [U, d] → logits [M, K], position left out."""
        pairs_u, pairs_v = u[batch.pair_slate], v[batch.pair_item]
        affinity = self._affinity(u, v, pairs_v, batch) / self.width**0.5
        bias = self.items(batch.item_rows) + self.attributes(batch.item_attributes).sum(1)
        context = self.users(batch.users) + self.contexts(batch.contexts)
        deep = torch.cat([self.normal(batch.features), pairs_u * pairs_v], -1)
        deep = self.out(self.dropout(functional.silu(self.hidden(deep))))
        logits: Tensor = affinity + bias[batch.pair_item] + context[batch.pair_slate] + deep + self.intercept
        return logits

    def _affinity(self, u: Tensor, v: Tensor, pairs_v: Tensor, batch: Batch) -> Tensor:
        """⟨H_k u, v⟩ of every pair, [M, K]."""
        projected = self.project(u).view(len(u), len(TASKS), self.width)
        if len(u) * len(v) > _SPARSE * len(pairs_v):
            one_by_one: Tensor = (projected[batch.pair_slate] * pairs_v.unsqueeze(1)).sum(-1)
            return one_by_one
        # Most users are paired with most items: one product of all is cheaper than M vectors of each kind.
        every: Tensor = projected.flatten(0, 1) @ v.T
        return every.view(len(u), len(TASKS), len(v))[batch.pair_slate, :, batch.pair_item]


class FeatureNorm(nn.Module):
    """(x − mean) / deviation with statistics fixed when the base is trained, clipped to ±5."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """[M, F] → [M, F]."""
        return ((x - self.mean) / self.deviation).clamp(-5, 5)


TABLES = {
    "tower.ids": "items",
    "tower.attributes": "attributes",
    "users": "users",
    "heads.items": "items",
    "heads.attributes": "attributes",
    "heads.users": "users",
    "heads.contexts": "contexts",
}
"""The embedding tables that grow with the ids, and the index their rows belong to."""


SMALL = ("heads.hidden",)
"""Layers of few weights that move in full where all others move by low rank: it weighs the fast features."""


class Ranker(nn.Module):
    """Session and candidates → one logit per pair and task."""

    def __init__(self, settings: RankerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.tower = ItemTower(settings)
        reads = bool(settings.layers or settings.backbone)
        self.session: SessionEncoder | FadingSession = (
            SessionEncoder(settings) if reads else FadingSession(settings.width)
        )
        self.users = _zero_embedding(settings.users, settings.width)
        self.heads = Heads(settings)

    def items(self, batch: Batch) -> Tensor:
        """Vectors of the batch's distinct items, [U, d]; a gradient only where an update may move them."""
        if self.session.moves_items:
            return self._vectors(batch, slice(None))
        asked = torch.unique(batch.pair_item)
        with torch.no_grad():
            v = self._vectors(batch, slice(None))
        return v.index_copy(0, asked, self._vectors(batch, asked))

    def _vectors(self, batch: Batch, which: Tensor | slice) -> Tensor:
        v: Tensor = self.tower(batch.item_rows[which], batch.item_text[which], batch.item_attributes[which])
        return v

    def forward(self, batch: Batch, items: Tensor | None = None) -> Tensor:
        """Logits [M, K] as served: without position. `items` [U, d] saves the tower where already known."""
        logits: Tensor = self.heads(*self.states(batch, items), batch)
        return logits

    def states(self, batch: Batch, items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """User states [B, d] and item vectors [U, d]: what the heads go by."""
        v = self.items(batch) if items is None else items
        query = self.tower.read(batch.query)
        return self.session(v[batch.session], batch, query) + self.users(batch.users), v

    def position_bias(self, positions: Tensor, contexts: Tensor) -> Tensor:
        """What positions [M] of surfaces, given by row [M], add to the logits in training, [M, K].

        Serving leaves it out for every item.
        """
        positions = positions.clamp(max=MAX_POSITIONS - 1)
        bias: Tensor = self.heads.positions(positions)
        return (
            bias
            if self.heads.places is None
            else bias + self.heads.places(contexts * MAX_POSITIONS + positions)
        )


def _zero_embedding(rows: int, width: int) -> nn.Embedding:
    """A table of zero rows; row 0, of every unknown id and empty slot, stays zero."""
    table = nn.Embedding(rows, width, padding_idx=0)
    nn.init.zeros_(table.weight)
    return table
