"""SHELL: an answer on its way: computed, timed, counted, and sent on `recommendations`."""

import time
from collections.abc import Callable

import msgspec

from schemas.codec import encode
from schemas.recommendation import Recommendation, RecommendationRequest
from schemas.topics import RECOMMENDATIONS
from schemas.trace import HEADER, Trace
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.serving import Serving


class Answering:
    """Serving, with its books kept."""

    def __init__(self, serving: Serving, outbox: Outbox, metrics: Metrics, clock: Callable[[], int]) -> None:
        self._serving = serving
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock

    async def answer(self, request: RecommendationRequest, kind: str) -> Recommendation:
        """Recommend. `kind` says for whom: `request`, `http` or `refresh`."""
        started = time.perf_counter()
        answer = await self._serving.answer(request)
        self._metrics.answer_seconds.observe(time.perf_counter() - started)
        self._metrics.recommendations.labels(kind).inc()
        if answer.degraded is not None:
            self._metrics.degraded.labels(answer.degraded).inc()
        return answer

    async def send(self, request: RecommendationRequest, kind: str, trace: Trace) -> Trace:
        """Recommend, and send the answer with the time of each hop; returns them, this one included."""
        answer = await self.answer(request, kind)
        stamped = msgspec.structs.replace(trace, served=self._clock())
        key = request.user_id.encode()
        await self._outbox.send(RECOMMENDATIONS, key, encode(answer), {HEADER: encode(stamped)})
        return stamped
