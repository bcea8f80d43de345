"""SHELL: the agents: each decodes, calls, and lets the rest of the worker send. User events come in batches.

Topics are consumed as raw bytes: a typed topic would end its agent on the first message it cannot decode.
Every agent runs alone (Faust's `concurrency` can commit past a message in flight).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import faust

from schemas.checkpoint import Manifest
from schemas.errors import InvalidRecord
from schemas.evaluation import Evaluation
from schemas.events import Erasure
from schemas.recommendation import RecommendationRequest
from schemas.topics import (
    DEAD_LETTERS,
    ERASURES,
    EVALUATIONS,
    ITEMS,
    MODELS,
    REQUESTS,
    Topic,
)
from schemas.trace import Trace
from stream.agent_lag import AgentLag
from stream.answering import Answering
from stream.deadletters import Refusal, refusal
from stream.inbound import Inbound
from stream.keys import Keys
from stream.projection import Projection
from stream.reading import read, read_erasure, read_item
from stream.refuser import Refuser
from stream.storage import Store

ANSWERS_AT_ONCE = 128
"""Requests that may be under way; they are answered in micro-batches."""

KIND, MANIFEST = "kind", b"manifest"
"""The header that tells a manifest from a chunk of weights on the models topic."""

R = TypeVar("R")

log = logging.getLogger(__name__)


class Agents:
    """Registers agents with an app, one method a concern; roles decide which are called."""

    def __init__(self, app: faust.App, prefix: str, refuser: Refuser, keys: Keys, lag: AgentLag) -> None:
        self._app = app
        self._prefix = prefix
        self._refuser = refuser
        self._keys = keys
        self._lag = lag

    def items(self) -> None:
        """Dead letters of the catalogue; its content is read by every worker in full, not by this agent."""

        async def check_items(stream: Any) -> None:
            async for _ in self._records(stream, read_item):
                pass

        self._agent(check_items, "items", ITEMS)

    def erasures(self, erase: Callable[[int, Erasure], Awaitable[None]]) -> None:
        """Users who ask to be forgotten: `erase(partition, erasure)`."""

        async def forget_users(stream: Any) -> None:
            async for message, erasure in self._records(stream, read_erasure):
                self._keys.check(message, erasure)
                await erase(message.partition, erasure)

        self._agent(forget_users, "erasures", ERASURES)

    def requests(self, answering: Answering, trace: Callable[[], Trace]) -> None:
        """Requests → recommendations, many at a time.

        A request counts as read when its answer is under way: one that a crash leaves unanswered is asked
        again by whoever waits for it, and an answer that comes a restart later helps nobody.
        """
        slots = asyncio.Semaphore(ANSWERS_AT_ONCE)
        tasks: set[asyncio.Task[Trace]] = set()

        def done(task: asyncio.Task[Trace]) -> None:
            tasks.discard(task)
            slots.release()
            if not task.cancelled() and task.exception() is not None:
                log.error("request not answered", exc_info=task.exception())

        async def answer_requests(stream: Any) -> None:
            async for message, request in self._records(stream, lambda m: read(m, RecommendationRequest)):
                self._keys.check(message, request)
                await slots.acquire()
                task = asyncio.create_task(answering.send(request, "request", trace()))
                tasks.add(task)
                task.add_done_callback(done)

        self._agent(answer_requests, "requests", REQUESTS)

    def projections(self, projection: Projection) -> None:
        """Models, evaluations and dead letters → SQL."""

        async def register_models(stream: Any) -> None:
            async for message in self._messages(stream):
                if message.headers.get(KIND) == MANIFEST:
                    await _project_model(projection, message)

        async def keep_evaluations(stream: Any) -> None:
            async for message, evaluation in self._records(stream, lambda m: read(m, Evaluation)):
                place = (message.partition, message.offset)
                await projection.write(partial(_put_evaluation, evaluation, place))

        async def index_dead_letters(stream: Any) -> None:
            async for message in self._messages(stream):
                found = refusal(message.value or b"", message.headers)
                if found is not None:
                    await projection.write(partial(_put_refusal, found))

        self._agent(register_models, "model-registry", MODELS)
        self._agent(keep_evaluations, "evaluation-history", EVALUATIONS)
        self._agent(index_dead_letters, "dead-letter-index", DEAD_LETTERS)

    def _agent(self, function: Callable[[Any], Any], name: str, topic: Topic) -> None:
        self._lag.watch(topic.name)
        raw = self._app.topic(
            self._prefix + topic.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )
        self._app.agent(raw, name=name)(function)

    async def _records(self, stream: Any, parse: Callable[[Inbound], R]) -> AsyncIterator[tuple[Inbound, R]]:
        """The messages that can be read; a dead letter is sent for every other one."""
        async for message in self._messages(stream):
            try:
                record = parse(message)
            except InvalidRecord as error:
                await self._refuser.refuse(message, error)
            else:
                yield message, record

    async def _messages(self, stream: Any) -> AsyncIterator[Inbound]:
        """Messages, each acknowledged once the next is asked for.

        Left to itself, Faust also acknowledges the one that an agent was stopped in the midst of.
        """
        async for event in stream.noack().events():
            yield self._take(event)
            event.ack()

    def _take(self, event: Any) -> Inbound:
        message = event.message
        taken = Inbound(
            topic=message.topic.removeprefix(self._prefix),
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=dict(message.headers or ()),
            timestamp=int(message.timestamp * 1000),
        )
        self._lag.taken(taken)
        return taken


def _put_evaluation(evaluation: Evaluation, place: tuple[int, int], store: Store) -> None:
    store.put_evaluation(evaluation, *place)


def _put_refusal(found: Refusal, store: Store) -> None:
    store.put_refusal(found)


async def _project_model(projection: Projection, message: Inbound) -> None:
    """Register a checkpoint; where its manifest cannot be read, the scorers refuse it and say so."""
    try:
        manifest = read(message, Manifest)
    except InvalidRecord as error:
        log.warning("models[%d]@%d not registered: %s", message.partition, message.offset, error)
        return
    await projection.write(lambda store: store.put_model(manifest))
