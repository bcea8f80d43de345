"""SHELL: after a swap, new recommendations for the users whose clicks the new model has learned."""

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

import msgspec
import numpy as np

from schemas.checkpoint import Manifest
from schemas.events import UserEvent
from schemas.labels import LabeledSlate
from schemas.recommendation import RecommendationRequest
from schemas.trace import Trace
from stream.active_users import ActiveUsers, LearnedFrom, refresh_id
from stream.answering import Answering
from stream.metrics import Metrics
from stream.outbox import Sent

AT_ONCE = 16
"""Users refreshed together: enough to share one pass of the model, few enough to be soon answered."""

MOST = 64
"""Users refreshed after one swap, so that labelling and live evaluation get their share of the time."""

UNTOLD = 1_024
"""Most sampled clicks of versions that were overtaken before they answered anybody: of sixteen of them."""


class Served(NamedTuple):
    """A checkpoint that has just begun to serve, and when it was published (ms)."""

    manifest: Manifest
    published: int | None


class Refresher:
    """The newest clicks first, a few users at a time; a newer swap takes over whoever still waits."""

    def __init__(self, answering: Answering, metrics: Metrics, k: int, rng: np.random.Generator) -> None:
        self._answering = answering
        self._metrics = metrics
        self._k = k
        self._rng = rng
        self._active = ActiveUsers()
        self._newest: Served | None = None
        self._untold: deque[Trace] = deque(maxlen=UNTOLD)
        self._swapped = asyncio.Event()
        self.busy = False

    def on_event(self, event: UserEvent) -> None:
        """Events matter through the labels made of them."""

    def on_label(self, label: LabeledSlate, sent: Sent | None) -> None:
        """Remember a click, and where its label will be learned from."""
        if sent is not None and any(outcome.clicked for outcome in label.outcomes):
            user_id, ts = label.user_id, label.observed_ts
            sent.then(
                lambda partition, offset: self._active.touch(user_id, LearnedFrom(ts, partition, offset))
            )

    def forget(self, user_id: str) -> None:
        """Drop a user who asked for it."""
        self._active.forget(user_id)

    def on_swap(self, served: Served) -> None:
        """Notice that a new checkpoint serves: also what one had learned that it overtook unanswered."""
        self._newest = served
        self._untold.extend(
            msgspec.structs.replace(trace, published=served.published) for trace in served.manifest.learned
        )
        self._swapped.set()

    def trace(self) -> Trace:
        """The freshest click that the serving model has learned; empty before there is one."""
        if self._newest is None:
            return Trace()
        freshest = max(self._newest.manifest.learned, key=lambda trace: trace.event or 0, default=Trace())
        return msgspec.structs.replace(freshest, published=self._newest.published)

    async def run(self) -> None:
        """Refresh after every swap, for ever."""
        while True:
            await self._swapped.wait()
            self._swapped.clear()
            if self._newest is not None:
                self.busy = True
                await self._refresh(self._newest)
                self.busy = False

    async def _refresh(self, served: Served) -> None:
        manifest = served.manifest
        traces = self._traces()
        for _ in range(0, MOST, AT_ONCE):
            users = self._active.take(manifest.offsets, AT_ONCE)
            requests = [self._request(manifest.version, *user) for user in users]
            for trace in await asyncio.gather(
                *(self._answering.send(request, "refresh", next(traces)) for request in requests)
            ):
                self._metrics.observe_freshness(trace)
            if not users or self._swapped.is_set():
                return

    def _request(self, version: str, user_id: str, ts: int) -> RecommendationRequest:
        return RecommendationRequest(
            request_id=refresh_id(version, user_id), user_id=user_id, ts=ts + 1, k=self._k
        )

    def _traces(self) -> Iterator[Trace]:
        """The sampled clicks in turn: each answer carries another, and the topic shows their distribution.

        In any order: they come oldest first, and there may be fewer answers.
        """
        untold = list(self._untold) or [Trace()]
        self._untold.clear()
        return cycle([untold[place] for place in self._rng.permutation(len(untold))])
