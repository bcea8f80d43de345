"""SHELL: requests → recommendations: who asks, what may answer, score in the scorer's thread, choose."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.events import UserEvent
from schemas.labels import LabeledSlate, Session
from schemas.recommendation import Recommendation, RecommendationRequest
from schemas.record import Scalar
from stream.candidates import POPULAR, Assortment
from stream.exploration import Policy
from stream.microbatch import MicroBatcher, QueueFull
from stream.outbox import Sent
from stream.popularity import NO_CHECKPOINT, Popularity
from stream.ranking import eligible, recommend
from stream.sessions import SessionState, as_of, asking

OVERLOADED = "overloaded"
"""`degraded` of an answer for which the scorer had no time."""

RANK_POPULAR_EVERY = 256
"""Labels between two rankings of the popular items for the first stage, which need not be exact."""

Probabilities = NDArray[np.float32]
"""[n candidates, tasks]"""


class Scorer(Protocol):
    """The part of `learner.scorer.Scorer` that answers."""

    @property
    def version(self) -> str | None:
        """The serving version; None before the first checkpoint."""
        ...

    @property
    def base_version(self) -> str:
        """The frozen base."""
        ...

    def score(self, queries: Sequence[Any], frozen: bool = False) -> list[Probabilities]:
        """One array a query, by the serving version or by the frozen base."""
        ...

    def answer(self, queries: Sequence[Any]) -> tuple[str | None, list[Probabilities]]:
        """The serving version, and one array a query by it."""
        ...


class AskScorer(Protocol):
    """Makes what the scorer is asked: `learner.query.Query`."""

    def __call__(
        self,
        *,
        user_id: str,
        session: Session,
        ts: int,
        candidates: Sequence[str],
        surface: str,
        context: Mapping[str, Scalar],
    ) -> Any:
        """One query."""
        ...


class Scored(NamedTuple):
    """The probabilities of a query's candidates, and which version gave them."""

    probabilities: Probabilities
    version: str | None


class ScorerThread:
    """The scorer, asked from the event loop: one batch of queries at a time, in the executor's one thread."""

    def __init__(self, scorer: Scorer, executor: Executor) -> None:
        self.scorer = scorer
        self._batcher: MicroBatcher[Any, Scored] = MicroBatcher(self._score, executor)

    async def score(self, query: Any) -> Scored:
        """Score one query; raises QueueFull when too many are waiting."""
        return await self._batcher.ask(query)

    def _score(self, queries: Sequence[Any]) -> list[Scored]:
        version, scored = self.scorer.answer(queries)
        return [Scored(probabilities, version) for probabilities in scored]


class Serving:
    """Answers requests with the newest model, or with popularity, marked as degraded, where it cannot."""

    def __init__(
        self,
        scorer: ScorerThread | None,
        query: AskScorer,
        utility: Callable[[Probabilities], NDArray[np.float32]],
        sessions: Callable[[str], SessionState | None],
        assortment: Assortment,
        policy: Policy,
        rng: np.random.Generator,
    ) -> None:
        self._scorer = scorer
        self._query = query
        self._utility = utility
        self._sessions = sessions
        self._assortment = assortment
        self._policy = policy
        self._rng = rng
        self._popularity = Popularity()
        self._popular: list[str] = []
        self._unranked = 0

    def on_event(self, event: UserEvent) -> None:
        """Events matter through the labels made of them."""

    def on_label(self, label: LabeledSlate, sent: Sent | None) -> None:  # noqa: ARG002
        """Count what is popular, for the fallback and for the first stage."""
        self._popularity.fold(label)
        self._unranked += 1

    async def answer(self, request: RecommendationRequest) -> Recommendation:
        """Recommend; never fails for want of a model."""
        session = self.session(request.user_id, request.ts, request.query)
        popular = self._top() if self._assortment.chooses else ()
        pool = () if request.candidates else self._assortment.candidates(session, popular)
        ids = eligible(request, pool, session)
        if self._scorer is None or (version := self._scorer.scorer.version) is None:
            return self._fallback(request, ids, NO_CHECKPOINT)
        if not ids:  # nothing is left to rank: no fault of the model
            return recommend(request, ids, np.empty(0), self._policy, self._rng, version)
        try:
            scored = await self._scorer.score(self._asked(request, session, ids))
        except QueueFull:
            return self._fallback(request, ids, OVERLOADED)
        utilities = self._utility(scored.probabilities)
        return recommend(request, ids, utilities, self._policy, self._rng, scored.version)

    def session(
        self, user_id: str, ts: int, query: str | None = None, request_id: str | None = None
    ) -> Session:
        """What is known of the user before `ts`; a query of the request itself is the newest of all.

        Less what they did in the request: of a slate that was shown already, it may have been stamped before.
        """
        state = self._sessions(user_id)
        session = Session() if state is None else as_of(state, ts, request_id, self._assortment.tags)
        return asking(session, query)

    def _top(self) -> Sequence[str]:
        """The popular items, of a moment ago: ranking thousands for every answer would slow them all."""
        if not self._popular or self._unranked >= RANK_POPULAR_EVERY:
            self._popular, self._unranked = self._popularity.top(POPULAR), 0
        return self._popular

    def _asked(self, request: RecommendationRequest, session: Session, ids: Sequence[str]) -> Any:
        return self._query(
            user_id=request.user_id,
            session=session,
            ts=request.ts,
            candidates=ids,
            surface=request.surface,
            context=request.context,
        )

    def _fallback(self, request: RecommendationRequest, ids: Sequence[str], why: str) -> Recommendation:
        scores = self._popularity.score(ids)
        return recommend(request, ids, scores, self._policy, self._rng, None, degraded=why)
