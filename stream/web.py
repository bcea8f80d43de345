"""SHELL: what the worker answers over HTTP, on its web port (loopback by default)."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import faust
import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from schemas.codec import decode, encode
from schemas.errors import InvalidRecord
from schemas.recommendation import MAX_K, RecommendationRequest
from stream.answering import Answering
from stream.metrics import Metrics

JSON = "application/json"
DEFAULT_K = 10
K_DIGITS = 9
"""Most digits of `k`, zeros in front included: Python reads no number that has thousands."""


class BadQuery(ValueError):
    """A request that cannot be understood; becomes status 400."""


def add_pages(
    app: faust.App,
    answering: Answering | None,
    metrics: Metrics,
    readiness: Callable[[], Mapping[str, bool]],
    clock: Callable[[], int],
) -> None:
    """Register health, readiness and metrics, and recommendations where this worker scores."""

    async def healthz(view: Any, request: Any) -> Any:  # noqa: ARG001
        """The event loop turns."""
        return view.text("ok\n")

    async def readyz(view: Any, request: Any) -> Any:  # noqa: ARG001
        """200 when every part is ready, else 503; the body says which are."""
        parts = readiness()
        return view.json(dict(parts), status=200 if all(parts.values()) else 503)

    async def prometheus(view: Any, request: Any) -> Any:  # noqa: ARG001
        """Prometheus' text format."""
        return view.bytes(metrics.expose(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.page("/healthz")(healthz)
    app.page("/readyz")(readyz)
    app.page("/metrics")(prometheus)
    if answering is not None:
        _add_recommendations(app, answering, clock)


def _add_recommendations(app: faust.App, answering: Answering, clock: Callable[[], int]) -> None:
    async def recommendations(view: Any, request: Any, user_id: str) -> Any:
        """A `Recommendation` for the user, now; `k` and `surface` in the query string."""
        try:
            asked = parse(user_id, request.query, f"http:{uuid.uuid4().hex}", clock())
        except BadQuery as error:
            return view.json({"error": str(error)}, status=400)
        answer = await answering.answer(asked, "http")
        return view.bytes(encode(answer), content_type=JSON)

    app.page("/recommendations/{user_id}")(recommendations)


def parse(user_id: str, query: Mapping[str, str], request_id: str, now_ms: int) -> RecommendationRequest:
    """Make a request of a path and a query string.

    Raises:
        BadQuery: saying what was expected.

    >>> parse("u1", {"k": "3"}, "r", 17)
    RecommendationRequest(request_id='r', user_id='u1', ts=17, k=3, candidates=None, exclude=[], surface='', \
session_id=None, query=None, context={})
    """
    raw = query.get("k", str(DEFAULT_K))
    if not raw.isdecimal() or len(raw) > K_DIGITS or not 1 <= int(raw) <= MAX_K:
        raise BadQuery(f"k: expected a number from 1 to {MAX_K}, got {raw[:32]!r}")
    asked = {"request_id": request_id, "user_id": user_id, "ts": now_ms, "k": int(raw)}
    try:
        return decode(
            RecommendationRequest, msgspec.json.encode(asked | {"surface": query.get("surface", "")})
        )
    except InvalidRecord as error:
        raise BadQuery(error.detail) from None
