"""SHELL: `create_app`: the one place where the parts of a worker meet."""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import faust
import numpy as np
from prometheus_client import CollectorRegistry

from learner.connections import LOOK_S
from learner.follower import follow
from learner.query import TASKS, Query, utility
from learner.watchdog import watch
from schemas.errors import BaseError
from schemas.events import Erasure
from schemas.topics import ITEMS, MODELS, Topic
from stream import oddity
from stream.agent_lag import AgentLag
from stream.agents import Agents
from stream.answering import Answering
from stream.batches import BatchApp
from stream.candidates import Assortment
from stream.catalogue_feed import CatalogueFeed
from stream.checkpoint_feed import CheckpointFeed
from stream.engine import data_dir, faust_app
from stream.evaluator import Evaluator
from stream.evidence_table import EvidenceTable
from stream.exploration import EpsilonGreedy
from stream.folding import PartitionFold
from stream.garbage import spare_the_old
from stream.hearing import Hearing
from stream.keys import Keys
from stream.labeller import Labeller
from stream.learner_lag import LearnerLag
from stream.listener import Listener
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.partition import Partition
from stream.progress import Progress
from stream.projection import Projection
from stream.refresher import Refresher, Served
from stream.refuser import Refuser
from stream.serving import ScorerThread, Serving
from stream.session_table import SessionTable, SessionView
from stream.settings import Settings
from stream.storage import Store
from stream.web import add_pages

if TYPE_CHECKING:
    from learner.scorer import Scorer

TICK_S = 1.0
"""How often time passes for open slates."""

COMMIT_S = 5.0
"""How often sessions are written and offsets committed.

What is open is read again after a crash anyway, which is minutes; and a busy user's session is written once.
"""

CATALOGUE_LOOK_S = 0.2
"""How often to look for new items. A look takes half a millisecond, and an item may wait so long."""

EMIT_S = 5.0
"""How often live metrics are sent."""

SWITCH_S = 0.001
"""How long the event loop may hold the interpreter while the scorer waits for it; Python's default is 5 ms.

The scorer gives it up with every array operation, and a busy loop would make it wait as often.
"""

log = logging.getLogger(__name__)


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def app_from_environment() -> faust.App:
    """The app of `faust -A stream worker`."""
    settings = Settings.from_env(os.environ)
    logging.getLogger("kafka").setLevel(logging.WARNING)  # it tells of every connection
    data_dir(settings).mkdir(parents=True, exist_ok=True)  # Faust makes the last level only
    scores = {"score", "evaluate"} & set(settings.roles)
    app = create_app(settings, load_scorer(settings) if scores else None)
    spare_the_old()
    return app


def load_scorer(settings: Settings) -> "Scorer | None":
    """The scorer over the trained base; None, and popularity answers, where there is no base yet.

    Whoever only labels does not come here, and spares itself some seconds and 300 MB.
    """
    import torch

    from learner.base import load_base
    from learner.scorer import Scorer
    from learner.text import TextEncoder

    try:
        base = load_base(settings.base_dir)
    except BaseError as error:
        log.warning("answering by popularity: %s", error)
        return None
    torch.set_num_threads(1)  # the event loop, the learner and the broker want a core as well
    sys.setswitchinterval(SWITCH_S)
    return Scorer(base, TextEncoder(Path(settings.state_dir), base.text_encoder))


def create_app(
    settings: Settings, scorer: "Scorer | None" = None, clock: Callable[[], int] = now_ms
) -> faust.App:
    """Assemble a worker; nothing is connected before it is started.

    Args:
        settings: broker, roles, port, windows.
        scorer: over the trained base; without one, popularity answers, marked as degraded.
        clock: the wall clock, in ms.
    """
    core = _core(settings, clock)
    scoring = _scoring(core, scorer)
    listeners: list[Listener] = []
    if {"score", "evaluate"} & set(settings.roles):
        listeners = [scoring.serving, scoring.refresher]
    if scorer is not None and "evaluate" in settings.roles:
        listeners.append(_evaluator(core, scoring, scorer))
    catalogue = CatalogueFeed(core.assortment, scorer)
    _follow(core, ITEMS, catalogue, CATALOGUE_LOOK_S)
    agents = _agents(core)
    if "label" in settings.roles:
        _label(core, agents, listeners, catalogue.known, scoring.refresher)
    if "score" in settings.roles:
        agents.requests(scoring.answering, scoring.refresher.trace)
        core.app.task(scoring.refresher.run)
    if "evaluate" in settings.roles:
        agents.projections(Projection(Store(settings.database_url)))
    ready = {"partitions": core.progress.is_settled, "catalogue": catalogue.ready.is_set}
    if scoring.checkpoints is not None:
        ready["models"] = scoring.checkpoints.ready.is_set
    _add_pages(core, scoring, ready)
    _watch(core.app)
    return core.app


@dataclass(frozen=True, kw_only=True)
class _Core:
    """What most parts need."""

    app: BatchApp
    settings: Settings
    clock: Callable[[], int]
    metrics: Metrics
    outbox: Outbox
    refuser: Refuser
    assortment: Assortment
    sessions: SessionTable
    evidence: EvidenceTable
    progress: Progress
    learner_lag: LearnerLag
    executor: ThreadPoolExecutor


def _core(settings: Settings, clock: Callable[[], int]) -> _Core:
    app = faust_app(settings)
    metrics = Metrics(CollectorRegistry())
    outbox = Outbox(app.maybe_start_producer, settings.prefix)
    return _Core(
        app=app,
        settings=settings,
        clock=clock,
        metrics=metrics,
        outbox=outbox,
        refuser=Refuser(outbox, metrics),
        assortment=Assortment(),
        sessions=SessionTable(_table(app, "sessions", settings)),
        evidence=EvidenceTable(_table(app, "evidence", settings)),
        progress=Progress(app, settings.prefix),
        learner_lag=LearnerLag(lambda partition, labels: metrics.unlearned.labels(partition).set(labels)),
        executor=ThreadPoolExecutor(1, "scorer"),
    )


def _table(app: BatchApp, name: str, settings: Settings) -> Any:
    """A compacted table of raw bytes, co-partitioned with the user events."""
    return app.Table(name, key_type=bytes, value_type=bytes, partitions=settings.partitions)


@dataclass(frozen=True, kw_only=True)
class _Scoring:
    serving: Serving
    answering: Answering
    refresher: Refresher
    checkpoints: CheckpointFeed | None


def _scoring(core: _Core, scorer: "Scorer | None") -> _Scoring:
    serving = Serving(
        scorer=None if scorer is None else ScorerThread(scorer, core.executor),
        query=Query,
        utility=partial(utility, weights=core.settings.worth),
        sessions=core.sessions.get,
        assortment=core.assortment,
        policy=EpsilonGreedy(),
        rng=np.random.default_rng(),  # two workers must not explore alike
    )
    answering = Answering(serving, core.outbox, core.metrics, core.clock)
    refresher = Refresher(answering, core.metrics, core.settings.refresh_k, np.random.default_rng())
    checkpoints = None if scorer is None else _checkpoints(core, scorer, refresher)
    return _Scoring(serving=serving, answering=answering, refresher=refresher, checkpoints=checkpoints)


def _checkpoints(core: _Core, scorer: "Scorer", refresher: Refresher) -> CheckpointFeed:
    from learner.checkpoint import Assembler  # has torch

    def swapped(served: Served) -> None:
        core.learner_lag.learned(served.manifest.offsets)
        refresher.on_swap(served)

    feed = CheckpointFeed(
        scorer=scorer,
        assemble=Assembler().fold,
        model=core.settings.model,
        outbox=core.outbox,
        metrics=core.metrics,
        clock=core.clock,
        on_swap=swapped,
    )
    _follow(core, MODELS, feed)
    return feed


def _evaluator(core: _Core, scoring: _Scoring, scorer: "Scorer") -> Evaluator:
    evaluator = Evaluator(
        scorer=scorer,
        executor=core.executor,
        query=Query,
        click_column=TASKS.index("click"),
        serving=scoring.serving,
        outbox=core.outbox,
        metrics=core.metrics,
        may_begin=lambda: not scoring.refresher.busy,
    )
    core.app.timer(EMIT_S)(evaluator.emit)
    return evaluator


def _agents(core: _Core) -> Agents:
    """Agents whose lag is measured."""
    lag = AgentLag(core.progress, core.metrics)

    async def start_over(*_: Any, **__: Any) -> None:
        lag.start_over()
        core.progress.clear()

    core.app.on_partitions_revoked.connect(start_over)
    core.app.on_partitions_assigned.connect(start_over)
    core.app.timer(TICK_S)(lag.measure)
    return Agents(core.app, core.settings.prefix, core.refuser, Keys(core.metrics), lag)


def _label(
    core: _Core, agents: Agents, listeners: list[Listener], may_begin: asyncio.Event, refresher: Refresher
) -> None:
    """Label and keep sessions. Durations decide satisfaction, so the catalogue has to be known first."""
    if "trust" in core.settings.join.rules.refinements:
        oddity.prepare()
    labeller = _labeller(core, listeners, may_begin.is_set)

    async def start_over(*_: Any, **__: Any) -> None:
        labeller.start_over()

    async def erase(partition: int, erasure: Erasure) -> None:
        erased = core.sessions.erase(erasure.user_id, erasure.ts)
        await core.outbox.send_raw(core.sessions.changelog, partition, [erased])
        refresher.forget(erasure.user_id)
        log.info("partition %d: a user was erased from the sessions", partition)

    core.app.on_partitions_revoked.connect(start_over)
    core.app.on_partitions_assigned.connect(start_over)
    core.app.timer(TICK_S)(labeller.advance)
    core.app.timer(COMMIT_S)(labeller.commit)
    core.app.subscribe(labeller)
    agents.items()
    agents.erasures(erase)


def _labeller(core: _Core, listeners: list[Listener], may_begin: Callable[[], bool]) -> Labeller:
    view = SessionView(core.sessions)
    durations, tags = core.assortment.duration, core.assortment.tags
    hearing = Hearing(core.clock())
    core.app.on_ask = lambda: hearing.asked(core.clock())
    core.app.on_answer = lambda: hearing.answered(core.clock())
    return Labeller(
        partition=lambda: Partition(PartitionFold(core.settings.join, view, durations, tags)),
        sessions=core.sessions,
        evidence=core.evidence,
        outbox=core.outbox,
        refuser=core.refuser,
        progress=core.progress,
        metrics=core.metrics,
        clock=core.clock,
        hearing=hearing,
        listeners=listeners,
        prefix=core.settings.prefix,
        may_begin=may_begin,
        on_sent=core.learner_lag.sent,
    )


class _Feed(Protocol):
    def on_record(self, record: Any) -> None: ...
    def on_caught_up(self) -> None: ...
    async def run(self) -> None: ...


def _follow(core: _Core, topic: Topic, feed: _Feed, look_s: float = LOOK_S) -> None:
    """Read a whole topic on a thread of its own, beside the consumer group, as long as the app runs."""

    async def read() -> None:
        stop = threading.Event()
        name = core.settings.prefix + topic.name
        follower = follow(core.settings, name, feed.on_record, stop, look_s)
        try:
            while not await asyncio.to_thread(follower.wait, TICK_S):
                pass
            feed.on_caught_up()
            while True:
                follower.check()
                await asyncio.sleep(TICK_S)
        finally:
            stop.set()

    core.app.task(read)
    core.app.task(feed.run)


def _add_pages(core: _Core, scoring: _Scoring, ready: Mapping[str, Callable[[], bool]]) -> None:
    answering = scoring.answering if "score" in core.settings.roles else None

    def readiness() -> dict[str, bool]:
        return {name: is_ready() for name, is_ready in ready.items()}

    add_pages(core.app, answering, core.metrics, readiness, core.clock)


def _watch(app: faust.App) -> None:
    async def bound_shutdown() -> None:
        watch(lambda: app.should_stop)

    app.task(bound_shutdown)
