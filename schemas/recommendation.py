"""Asking for recommendations, and the answer."""

from typing import Annotated

from msgspec import Meta

from schemas.record import Id, Position, Propensity, Record, Scalar, Ts

MAX_K = 500
MAX_LISTED = 10_000
"""Most candidates, and most exclusions, of one request: what a scorer can be asked to do at a time."""


class RecommendationRequest(Record, frozen=True, kw_only=True):
    """A request for the `k` best items; without `candidates`, of the whole catalogue."""

    request_id: Id
    user_id: Id
    ts: Ts
    k: Annotated[int, Meta(ge=1, le=MAX_K)]
    candidates: Annotated[list[Id], Meta(max_length=MAX_LISTED)] | None = None
    exclude: Annotated[list[Id], Meta(max_length=MAX_LISTED)] = []
    surface: str = ""
    session_id: Id | None = None
    query: str | None = None
    context: dict[str, Scalar] = {}


class RecommendedItem(Record, frozen=True, kw_only=True):
    """One item of an answer."""

    item_id: Id
    score: float
    propensity: Propensity
    position: Position
    reason: str | None = None


class Recommendation(Record, frozen=True, kw_only=True):
    """An answer. Shown to the user, it feeds back as an `Impression` with the same ids and propensities."""

    request_id: Id
    user_id: Id
    ts: Ts
    items: list[RecommendedItem]
    policy: str
    model_version: str | None
    degraded: str | None = None
