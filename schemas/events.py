"""What users saw and did, and what there is to show: the records of the input topics."""

from typing import Annotated, Literal, final

from msgspec import Meta

from schemas.labels import FEEDBACK_SURFACE
from schemas.record import Id, Position, Propensity, Record, Scalar, Ts

FeedbackKind = Literal[
    "like", "dislike", "hide", "report", "save", "share", "follow", "comment", "purchase", "rating"
]

Surface = Annotated[
    str,
    Meta(
        pattern=f"^(?!{FEEDBACK_SURFACE}$)",
        description=f"where a slate is shown; not `{FEEDBACK_SURFACE}`, that of labels without a slate",
    ),
]


class ShownItem(Record, frozen=True, kw_only=True):
    """One item of a slate, where it stood, and with which probability the policy put it there."""

    item_id: Id
    position: Position
    propensity: Propensity | None = None


@final
class Impression(Record, frozen=True, kw_only=True):
    """A slate that was shown to a user. Its `request_id` is what clicks and dwells refer to."""

    event_id: Id
    request_id: Id
    user_id: Id
    ts: Ts
    items: Annotated[list[ShownItem], Meta(min_length=1, max_length=500)]
    session_id: Id | None = None
    surface: Surface = ""
    policy: str | None = None
    model_version: str | None = None
    query: str | None = None
    context: dict[str, Scalar] = {}


@final
class Click(Record, frozen=True, kw_only=True):
    """A click on an item of a shown slate."""

    event_id: Id
    request_id: Id
    user_id: Id
    item_id: Id
    ts: Ts
    position: Position | None = None


@final
class Dwell(Record, frozen=True, kw_only=True):
    """How long a user stayed with an item; `completion` may exceed 1 where content loops."""

    event_id: Id
    request_id: Id
    user_id: Id
    item_id: Id
    ts: Ts
    dwell_ms: Annotated[float, Meta(ge=0)]
    completion: Annotated[float, Meta(ge=0)] | None = None


@final
class Feedback(Record, frozen=True, kw_only=True):
    """What a user said of an item; with a `request_id`, of an item of that slate."""

    event_id: Id
    user_id: Id
    ts: Ts
    kind: FeedbackKind
    item_id: Id
    value: float | None = None
    request_id: Id | None = None


@final
class Search(Record, frozen=True, kw_only=True):
    """What a user searched for."""

    event_id: Id
    user_id: Id
    ts: Ts
    query: str
    session_id: Id | None = None


class Item(Record, frozen=True, kw_only=True):
    """An item of the catalogue, with all that can be said of it before anybody has seen it."""

    item_id: Id
    ts: Ts
    title: str
    text: str = ""
    tags: list[str] = []
    attributes: dict[str, Scalar] = {}
    duration_ms: Annotated[float, Meta(ge=0)] | None = None
    created_ts: Ts | None = None
    vectors: dict[str, list[float]] = {}


class Erasure(Record, frozen=True, kw_only=True):
    """A user asks to be forgotten."""

    event_id: Id
    user_id: Id
    ts: Ts


UserEvent = Impression | Click | Dwell | Feedback | Search
"""Everything that is folded, per user, into sessions and labels."""
