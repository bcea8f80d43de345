import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from learner.query import Query
from schemas.codec import decode, encode
from schemas.errors import CheckpointRefused
from schemas.evaluation import Evaluation
from schemas.events import Click, Impression, Item, ShownItem
from schemas.labels import LabeledSlate, Outcome, Session
from schemas.recommendation import Recommendation
from schemas.record import ID_BYTES
from schemas.topics import LABELS
from schemas.trace import HEADER, Trace
from stream.active_users import ActiveUsers, LearnedFrom, refresh_id
from stream.answering import Answering
from stream.candidates import Assortment
from stream.catalogue_feed import CatalogueFeed
from stream.checkpoint_feed import REFUSED, CheckpointFeed, Waiting, Whole, newest
from stream.evaluator import Evaluator
from stream.exploration import Greedy
from stream.live_evaluation import LiveEvaluation
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.refresher import AT_ONCE, Refresher, Served
from stream.serving import ScorerThread, Serving
from stream.sessions import SessionState, fold
from tests.worker_fakes import FakeProducer, FakeScorer, Sent, manifest

PATIENCE_S = 60.0


def label(request_id: str, clicks: dict[str, bool], final: bool = True) -> LabeledSlate:
    outcomes = [
        Outcome(item_id=item, position=place, clicked=clicked, final=final)
        for place, (item, clicked) in enumerate(clicks.items())
    ]
    return LabeledSlate(
        request_id=request_id,
        revision=0,
        user_id="u",
        ts=100,
        observed_ts=200,
        session=Session(),
        slate=list(clicks),
        outcomes=outcomes,
    )


class World:
    """Serving and what hangs on it, in memory."""

    def __init__(
        self,
        scorer: FakeScorer,
        executor: ThreadPoolExecutor,
        now: int = 5_000,
        state: SessionState | None = None,
    ) -> None:
        self.producer = FakeProducer()
        self.scorer = scorer
        self.metrics = Metrics(CollectorRegistry())
        self.outbox = Outbox(self.producer, prefix="")
        assortment = Assortment()
        for item_id in "abc":
            assortment.put(Item(item_id=item_id, ts=0, title=item_id))
        self.serving = Serving(
            scorer=ScorerThread(scorer, executor),
            query=Query,
            utility=lambda probabilities: probabilities[:, 0],
            sessions=lambda _: state,
            assortment=assortment,
            policy=Greedy(),
            rng=np.random.default_rng(0),
        )
        answering = Answering(self.serving, self.outbox, self.metrics, lambda: now)
        self.refresher = Refresher(answering, self.metrics, k=2, rng=np.random.default_rng(0))
        self.executor = executor

    async def until(self, topic: str, count: int) -> list[Sent]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.producer.on(topic)) < count:
                await asyncio.sleep(0.01)
        return self.producer.on(topic)


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_a_refresh_reaches_those_whose_click_was_learned_with_every_stamp(executor):
    async def scenario() -> list[Sent]:
        refreshing = asyncio.create_task(world.refresher.run())
        delivery = await world.outbox.send(LABELS, b"u", b"{}")
        world.refresher.on_label(label("r", {"a": True}, final=False), delivery)
        await asyncio.sleep(0)
        learned = [Trace(event=1_000, label=1_100, learned=1_200)]
        world.refresher.on_swap(Served(manifest("early", offsets={"0": 0}), published=1_250))
        await asyncio.sleep(0.05)
        assert not world.producer.on("recommendations")
        world.refresher.on_swap(Served(manifest("v2", offsets={"0": 1}, learned=learned), published=1_300))
        sent = await world.until("recommendations", 1)
        refreshing.cancel()
        return sent

    world = World(FakeScorer("b", version="v2"), executor)
    (sent,) = asyncio.run(scenario())
    answer = decode(Recommendation, sent.value)
    assert (answer.request_id, answer.model_version, answer.ts) == ("refresh:v2:u", "v2", 201)
    assert [item.item_id for item in answer.items] == ["b", "a"]
    stamps = Trace(event=1_000, label=1_100, learned=1_200, published=1_300, served=5_000)
    assert decode(Trace, sent.headers[HEADER]) == stamps
    assert world.refresher.trace() == Trace(event=1_000, label=1_100, learned=1_200, published=1_300)
    assert b'freshrank_freshness_seconds_sum{stage="total"} 4.0' in world.metrics.expose()


def test_clicks_of_a_version_that_was_overtaken_unanswered_are_told_with_the_next(executor):
    """They waited longest: freshness without them would look better than it is."""

    def swap(version: str, event: int) -> None:
        learned = [Trace(event=event, label=event, learned=event)]
        world.refresher.on_swap(
            Served(manifest(version, offsets={"0": 99}, learned=learned), published=event)
        )

    async def scenario() -> list[Sent]:
        for number in range(2):
            clicked = msgspec.structs.replace(label("r", {"a": True}), user_id=f"u{number}")
            world.refresher.on_label(clicked, await world.outbox.send(LABELS, b"u", b"{}"))
        await asyncio.sleep(0)
        swap("v1", 1_000)
        swap("v2", 3_000)
        refreshing = asyncio.create_task(world.refresher.run())
        sent = await world.until("recommendations", 2)
        refreshing.cancel()
        return sent

    world = World(FakeScorer("b", version="v2"), executor)
    told = {decode(Trace, sent.headers[HEADER]) for sent in asyncio.run(scenario())}
    assert told == {
        Trace(event=at, label=at, learned=at, published=at, served=5_000) for at in (1_000, 3_000)
    }


def test_the_newest_clicks_are_answered_first_and_a_newer_version_takes_over_the_others(executor):
    class Swapping(FakeScorer):
        def answer(self, queries):
            answered = super().answer(queries)
            if self.version == "v1":
                self.version = "v2"
                world.refresher.on_swap(Served(manifest("v2", offsets={"0": 99}), published=None))
            return answered

    async def scenario() -> list[Sent]:
        for number in range(2 * AT_ONCE):
            clicked = msgspec.structs.replace(label("r", {"a": True}), user_id=f"u{number}")
            world.refresher.on_label(clicked, await world.outbox.send(LABELS, b"u", b"{}"))
        await asyncio.sleep(0)
        world.refresher.on_swap(Served(manifest("v1", offsets={"0": 99}), published=None))
        refreshing = asyncio.create_task(world.refresher.run())
        sent = await world.until("recommendations", 2 * AT_ONCE)
        async with asyncio.timeout(PATIENCE_S):
            while world.refresher.busy:
                await asyncio.sleep(0)
        refreshing.cancel()
        return sent

    world = World(Swapping("b", version="v1"), executor)
    answers = [decode(Recommendation, sent.value) for sent in asyncio.run(scenario())]
    newest = [f"u{number}" for number in reversed(range(2 * AT_ONCE))]
    assert [answer.user_id for answer in answers] == newest
    assert [answer.request_id.split(":")[1] for answer in answers] == ["v1"] * AT_ONCE + ["v2"] * AT_ONCE


def test_only_so_many_users_are_taken_and_the_most_recent_first():
    active = ActiveUsers(waiting=3)
    for number, user in enumerate("abcd"):
        active.touch(user, LearnedFrom(number, 0, number))
    active.forget("c")
    active.touch("e", LearnedFrom(4, 0, 100))
    assert active.take({"0": 100}, 1) == [("d", 3)]
    assert active.take({"0": 100}, 9) == [("b", 1)]
    assert active.take({"0": 100}, 9) == []


def test_who_clicks_faster_than_models_learn_is_refreshed_all_the_same():
    active, learned = ActiveUsers(), []
    for number in range(100):
        active.touch("a", LearnedFrom(number, 0, number))
        learned += active.take({"0": number - 5}, 9)
    assert len(learned) > 10
    assert active.take({"0": 100}, 9) == [("a", 99)]
    assert active.take({"0": 100}, 9) == []


def test_the_id_of_a_refresh_is_always_an_id():
    assert len(refresh_id("v" * 16, "é" * 128).encode()) <= ID_BYTES


def test_the_last_full_checkpoint_and_what_builds_on_it_are_all_a_scorer_needs():
    parents = [None, "0", "1", None, "3"]
    arrived = [Whole(manifest(str(n), parent=parent), b"", None) for n, parent in enumerate(parents)]
    assert [whole.manifest.version for whole in newest(arrived)] == ["3", "4"]
    assert newest(arrived[1:3]) == arrived[1:3]
    assert newest([]) == []


def test_who_starts_cold_holds_the_last_stretch_of_the_topic_and_what_was_folded():
    full = {0, 20, *range(21, 95, 20)}  # 20 was folded into the base that all after it are over
    waiting, held = Waiting(), []
    for n in range(95):
        parent, folded = None if n in full else str(n - 1), "20" if n > 20 else None
        waiting.put(Whole(manifest(str(n), parent=parent, folded=folded), b"payload", None))
        held.append(len(waiting))
    assert max(held) == 1 + 20
    assert [whole.manifest.version for whole in waiting.take()] == ["20", *map(str, range(81, 95))]
    assert waiting.take() == []


class ModelsRecord:
    def __init__(self, version: str, value: bytes) -> None:
        self.key = f"default/{version}/manifest".encode()
        self.value = value
        self.headers = [(HEADER, encode(Trace(published=77)))]


def assemble(key, value, headers):
    if value == b"noise":
        raise CheckpointRefused("models record: expected a chunk, got noise")
    return None if value is None else (manifest(key.decode().split("/")[1]), value)


def test_checkpoints_are_served_and_a_refused_one_says_why(executor):
    async def scenario() -> None:
        feed = CheckpointFeed(
            scorer=world.scorer,
            assemble=assemble,
            model="default",
            outbox=world.outbox,
            metrics=world.metrics,
            clock=lambda: 9,
            on_swap=served.append,
        )
        running = asyncio.create_task(feed.run())
        feed.on_record(ModelsRecord("v0", b"old"))
        feed.on_record(ModelsRecord("v1", b"good"))
        feed.on_caught_up()
        async with asyncio.timeout(PATIENCE_S):
            await feed.ready.wait()
        assert [one.manifest.version for one in served] == ["v1"]  # v0 is full too, and older
        for record in (ModelsRecord("v2", b"broken"), ModelsRecord("x", b"noise"), ModelsRecord("v3", None)):
            feed.on_record(record)
        await world.until("evaluations", 2)
        running.cancel()

    served: list[Served] = []
    world = World(FakeScorer(), executor)
    asyncio.run(scenario())
    assert world.scorer.version == "v1"
    assert served[0].published == 77
    records = [decode(Evaluation, sent.value) for sent in world.producer.on("evaluations")]
    assert sorted((record.name, record.model_version) for record in records) == [
        (REFUSED, "v2"),
        (REFUSED, "x"),
    ]
    assert any("expected weights" in record.slice["reason"] for record in records)


def test_the_catalogue_is_known_then_ready_and_follows_removals():
    class Record:
        def __init__(self, item_id: str, value: bytes | None, **headers: bytes) -> None:
            self.key, self.value, self.headers = item_id.encode(), value, list(headers.items())

    def item(item_id: str, **headers: bytes) -> Record:
        return Record(item_id, encode(Item(item_id=item_id, ts=0, title=item_id)), **headers)

    async def scenario() -> None:
        feed = CatalogueFeed(assortment, scorer)
        running = asyncio.create_task(feed.run())
        for record in (item("a"), item("b"), Record("b", None), Record("c", b"{"), item("d", schema=b"99")):
            feed.on_record(record)
        feed.on_caught_up()
        async with asyncio.timeout(PATIENCE_S):
            await feed.known.wait()
            await feed.ready.wait()
        running.cancel()

    assortment, scorer = Assortment(), FakeScorer()
    asyncio.run(scenario())
    assert assortment.candidates(Session(), []) == ["a"]
    assert list(scorer.items) == ["a"]


def evaluator_of(world: World, executor: ThreadPoolExecutor) -> Evaluator:
    return Evaluator(
        scorer=world.scorer,
        executor=executor,
        query=Query,
        click_column=0,
        serving=world.serving,
        outbox=world.outbox,
        metrics=world.metrics,
    )


def test_live_evaluation_tells_a_better_arm_from_a_worse_one():
    live = LiveEvaluation(("online", "frozen"))
    assert live.report({}) == []
    for number in range(50):
        request_id = f"r{number}"
        live.expect(
            request_id, {"online": {"a": 0.9, "b": 0.1}, "frozen": {"a": 0.4, "b": 0.35 + number % 2 / 10}}
        )
        live.observe(label(request_id, {"a": True}, final=False))
        live.observe(label(request_id, {"a": True, "b": False}))
    online, frozen = live.report({"online": "v", "frozen": "base"})
    assert (online.value, frozen.value) == (1.0, 0.5)
    assert (online.count, online.model_version, online.slice) == (100, "v", {"arm": "online"})
    assert live.report({}) == [], "nothing new"


def test_live_evaluation_forgets_what_waits_too_long_and_what_it_never_heard_of():
    live = LiveEvaluation(("arm",), pending=1)
    live.expect("old", {"arm": {"a": 0.5}})
    live.expect("new", {"arm": {"a": 0.5}})
    for request_id in ("old", "unknown", "new"):
        live.observe(label(request_id, {"a": True}))
        live.observe(label(request_id, {"a": False}))
    assert live.report({}) == [], "one class only: the second label of `new` came after it was forgotten"


def test_an_impression_is_scored_without_its_own_click_whatever_that_was_stamped(executor):
    """A worker that catches up may read it first, and clocks differ."""
    asked: list[Query] = []

    class Asked(FakeScorer):
        def score(self, queries, frozen=False):
            asked.extend(queries)
            return super().score(queries, frozen)

    async def scenario() -> None:
        shown = [ShownItem(item_id="a", position=0)]
        evaluator.on_event(
            Impression(event_id="i", request_id="r", user_id="u", ts=9, items=shown, query="jazz")
        )
        async with asyncio.timeout(PATIENCE_S):
            while evaluator._tasks:
                await asyncio.sleep(0.01)

    state = fold(SessionState(), Click(event_id="c", request_id="r", user_id="u", item_id="a", ts=8))
    world = World(Asked("a", version="v"), executor, state=state)
    evaluator = evaluator_of(world, executor)
    asyncio.run(scenario())
    assert [query.session for query in asked] == [Session(query="jazz")] * 2


def test_live_evaluation_judges_what_was_said_of_a_slate_first():
    """An impression comes twice, or is read again, when its click may have been learned."""
    live = LiveEvaluation(("arm",))
    before, after = {"arm": {"a": 0.1, "b": 0.9}}, {"arm": {"a": 0.9, "b": 0.1}}
    live.expect("r", before)
    for _ in range(2):
        live.expect("r", after)
        live.observe(label("r", {"a": True, "b": False}))
    (told,) = live.report({})
    assert (told.value, told.count) == (0.0, 2)


def test_an_impression_is_scored_by_both_arms_before_its_label(executor):
    async def scenario() -> None:
        evaluator = evaluator_of(world, executor)
        shown = [ShownItem(item_id=item, position=place) for place, item in enumerate("ab")]
        evaluator.on_event(Impression(event_id="e", request_id="r", user_id="u", ts=1, items=shown))
        async with asyncio.timeout(PATIENCE_S):
            while len(world.scorer.batches) < 2 or evaluator._tasks:
                await asyncio.sleep(0.01)
        evaluator.on_label(label("r", {"a": True, "b": False}), None)
        await evaluator.emit()

    world = World(FakeScorer("a", version="v"), executor)
    asyncio.run(scenario())
    records = [decode(Evaluation, sent.value) for sent in world.producer.on("evaluations")]
    assert {record.slice["arm"]: record.value for record in records} == {"online": 1.0, "frozen": 0.0}
