"""SHELL: live evaluation beside serving: score what was shown before its label is known, compare, emit."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from schemas.codec import encode
from schemas.events import Impression, UserEvent
from schemas.labels import LabeledSlate
from schemas.topics import EVALUATIONS
from stream.live_evaluation import LiveEvaluation, Predictions
from stream.metrics import Metrics
from stream.microbatch import MicroBatcher, QueueFull
from stream.outbox import Outbox, Sent
from stream.serving import AskScorer, Scorer, Serving

ONLINE, FROZEN = "online", "frozen"

AT_ONCE = 32
"""Impressions scored together; an answer that is asked for meanwhile waits for so many at most."""

WAITING = 512
"""Impressions that may wait for the scorer; more are counted and left out: labels are never slowed."""


class Evaluator:
    """Test-then-train on the live stream: the serving version against the frozen base."""

    def __init__(
        self,
        scorer: Scorer,
        executor: Executor,
        query: AskScorer,
        click_column: int,
        serving: Serving,
        outbox: Outbox,
        metrics: Metrics,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_begin` says whether the scorer has nothing more urgent to do."""
        self._scorer = scorer
        self._query = query
        self._click = click_column
        self._serving = serving
        self._outbox = outbox
        self._metrics = metrics
        self._live = LiveEvaluation((ONLINE, FROZEN))
        self._batcher: MicroBatcher[Any, dict[str, Predictions]] = MicroBatcher(
            self._predict, executor, largest=AT_ONCE, waiting=WAITING, may_begin=may_begin
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def on_event(self, event: UserEvent) -> None:
        """Have a shown slate scored, by both arms, with what was known when it was shown."""
        if isinstance(event, Impression) and self._scorer.version is not None:
            task = asyncio.create_task(self._expect(event, self._ask(event)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def on_label(self, label: LabeledSlate, sent: Sent | None) -> None:  # noqa: ARG002
        """Compare a final label with what was said before."""
        self._live.observe(label)

    async def emit(self) -> None:
        """Send the rolling metrics of both arms, if there is anything new."""
        versions = {ONLINE: self._scorer.version, FROZEN: self._scorer.base_version}
        for evaluation in self._live.report(versions):
            await self._outbox.send(EVALUATIONS, evaluation.name.encode(), encode(evaluation))

    def _ask(self, shown: Impression) -> Any:
        return self._query(
            user_id=shown.user_id,
            session=self._serving.session(shown.user_id, shown.ts, shown.query, shown.request_id),
            ts=shown.ts,
            candidates=[item.item_id for item in shown.items],
            surface=shown.surface,
            context=shown.context,
        )

    async def _expect(self, shown: Impression, query: Any) -> None:
        try:
            self._live.expect(shown.request_id, await self._batcher.ask(query))
        except QueueFull:
            self._metrics.unevaluated.inc()

    def _predict(self, queries: Sequence[Any]) -> list[dict[str, Predictions]]:
        arms = {ONLINE: self._scorer.score(queries), FROZEN: self._scorer.score(queries, frozen=True)}
        return [
            {arm: self._clicks(query, scores[number]) for arm, scores in arms.items()}
            for number, query in enumerate(queries)
        ]

    def _clicks(self, query: Any, probabilities: Any) -> Predictions:
        return dict(zip(query.candidates, map(float, probabilities[:, self._click]), strict=True))
