import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from learner.query import Query
from schemas.events import Click, Impression, Item, ShownItem
from schemas.labels import LabeledSlate, Outcome, Session, SessionItem
from schemas.recommendation import RecommendationRequest
from stream import candidates
from stream.candidates import Assortment
from stream.exploration import Greedy
from stream.microbatch import MicroBatcher, QueueFull
from stream.popularity import NO_CHECKPOINT
from stream.serving import OVERLOADED, ScorerThread, Serving
from stream.sessions import SessionState, fold
from stream.web import BadQuery, parse
from tests.worker_fakes import FakeScorer


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def shelf(*ids: str) -> Assortment:
    assortment = Assortment()
    for item_id in ids:
        assortment.put(Item(item_id=item_id, ts=0, title=item_id, tags=[item_id[0]], duration_ms=7.0))
    return assortment


def serving(
    scorer: ScorerThread | None, state: SessionState | None = None, ids: tuple[str, ...] = ("a", "b", "c")
):
    return Serving(
        scorer=scorer,
        query=Query,
        utility=lambda probabilities: probabilities[:, 0],
        sessions=lambda _: state,
        assortment=shelf(*ids),
        policy=Greedy(),
        rng=np.random.default_rng(0),
    )


def request(**changes: object) -> RecommendationRequest:
    fields = {"request_id": "q", "user_id": "u", "ts": 5_000, "k": 2}
    return RecommendationRequest(**{**fields, **changes})


def clicked_label(item_id: str) -> LabeledSlate:
    outcome = Outcome(item_id=item_id, position=0, clicked=True)
    return LabeledSlate(
        request_id="r",
        revision=0,
        user_id="u",
        ts=0,
        observed_ts=1,
        session=Session(),
        slate=[item_id],
        outcomes=[outcome],
    )


def test_before_the_first_checkpoint_popularity_answers_and_says_so(executor):
    for scorer in (None, ScorerThread(FakeScorer(best="a"), executor)):
        part = serving(scorer)
        part.on_label(clicked_label("b"), None)
        answer = asyncio.run(part.answer(request()))
        assert [item.item_id for item in answer.items] == ["b", "a"]
        assert (answer.degraded, answer.model_version) == (NO_CHECKPOINT, None)


def test_the_serving_version_ranks_and_is_named(executor):
    answer = asyncio.run(serving(ScorerThread(FakeScorer("c", version="v1"), executor)).answer(request()))
    assert [item.item_id for item in answer.items] == ["c", "a"]
    assert (answer.degraded, answer.model_version) == (None, "v1")
    assert [item.position for item in answer.items] == [0, 1]


def test_candidates_of_the_request_are_all_that_is_ranked(executor):
    part = serving(ScorerThread(FakeScorer("c", version="v1"), executor))
    answer = asyncio.run(part.answer(request(candidates=["x", "c", "y"], exclude=["y"], k=9)))
    assert [item.item_id for item in answer.items] == ["c", "x"]


def test_no_candidates_make_an_empty_answer(executor):
    part = serving(ScorerThread(FakeScorer("c", version="v1"), executor))
    answer = asyncio.run(part.answer(request(candidates=["x"], exclude=["x"])))
    assert (answer.items, answer.degraded, answer.model_version) == ([], None, "v1")


def test_what_the_user_clicked_is_not_offered_again_and_a_query_of_the_request_counts(executor):
    state = SessionState()
    fold(
        state,
        Impression(
            event_id="1", request_id="r", user_id="u", ts=10, items=[ShownItem(item_id="c", position=0)]
        ),
    )
    fold(state, Click(event_id="2", request_id="r", user_id="u", item_id="c", ts=20))
    part = serving(ScorerThread(FakeScorer("c", version="v1"), executor), state)
    answer = asyncio.run(part.answer(request()))
    assert "c" not in [item.item_id for item in answer.items]
    assert part.session("u", 5_000, query="jazz").query == "jazz"
    assert part.session("u", 20).recent == []
    assert part.session("u", 5_000, request_id="other").recent[0].item_id == "c"
    assert part.session("u", 5_000, request_id="r").recent == []


def test_requests_that_wait_together_are_scored_together(executor):
    async def scenario() -> None:
        part = serving(ScorerThread(scorer, executor))
        await asyncio.gather(*(part.answer(request(request_id=str(n))) for n in range(40)))

    scorer = FakeScorer("a", version="v")
    asyncio.run(scenario())
    assert sum(scorer.batches) == 40
    assert max(scorer.batches) == 32


def test_an_answer_names_the_version_that_scored_it_though_another_serves_by_then(executor):
    class Swapping(FakeScorer):
        def answer(self, queries):
            answered = super().answer(queries)
            self.version, self.best = "v2", "b"
            return answered

    answer = asyncio.run(serving(ScorerThread(Swapping("c", version="v1"), executor)).answer(request()))
    assert (answer.model_version, answer.items[0].item_id) == ("v1", "c")


def test_too_many_questions_are_refused_and_the_others_answered(executor):
    async def scenario() -> list[object]:
        batcher = MicroBatcher(lambda numbers: [2 * n for n in numbers], executor, largest=2, waiting=3)
        return await asyncio.gather(*(batcher.ask(n) for n in range(5)), return_exceptions=True)

    answers = asyncio.run(scenario())
    assert answers[:3] == [0, 2, 4]
    assert all(isinstance(answer, QueueFull) for answer in answers[3:])


def test_a_batch_begins_only_when_it_may(executor):
    async def scenario() -> tuple[int, list[int]]:
        batcher = MicroBatcher(
            lambda numbers: [2 * n for n in numbers], executor, may_begin=lambda: bool(free)
        )
        asking = asyncio.create_task(batcher.ask(1))
        done, _ = await asyncio.wait([asking], timeout=0.02)
        free.append(True)
        return len(done), [await asking]

    free: list[bool] = []
    assert asyncio.run(scenario()) == (0, [2])


def test_an_error_reaches_every_caller_of_its_batch_and_no_other(executor):
    def half(numbers: list[int]) -> list[float]:
        return [1 / n for n in numbers]

    async def scenario() -> list[object]:
        batcher = MicroBatcher(half, executor, largest=2)
        return await asyncio.gather(*(batcher.ask(n) for n in (1, 0, 2, 4)), return_exceptions=True)

    answers = asyncio.run(scenario())
    assert all(isinstance(answer, ZeroDivisionError) for answer in answers[:2])
    assert answers[2:] == [0.5, 0.25]


def test_an_overloaded_scorer_degrades_the_answer(executor):
    class Full:
        scorer = FakeScorer("c", version="v1")

        async def score(self, query):
            raise QueueFull("full")

    answer = asyncio.run(serving(Full()).answer(request()))  # type: ignore[arg-type]
    assert answer.degraded == OVERLOADED


def test_a_large_catalogue_is_narrowed_to_the_popular_the_recent_and_the_similar():
    ids = [f"{'xy'[n % 2]}{n}" for n in range(candidates.WHOLE + 100)]
    assortment = shelf(*ids)
    chosen = assortment.candidates(Session(), popular=["x0", "gone"])
    assert chosen[0] == "x0"
    assert set(chosen[1:]) == set(ids[-candidates.RECENT :])
    touched = SessionItem(item_id="y1", action="click", age_s=1.0)
    similar = assortment.candidates(Session(recent=[touched]), popular=[])
    assert {item_id[0] for item_id in set(similar) - set(chosen)} == {"y"}
    assert len(similar) == len(set(similar)) <= candidates.RECENT + candidates.SIMILAR


def test_an_item_that_is_removed_or_replaced_leaves_no_trace():
    assortment = shelf("a1", "a2")
    assortment.put(Item(item_id="a1", ts=0, title="again"))
    assortment.remove("a2")
    assortment.remove("never")
    assert assortment.candidates(Session(), []) == ["a1"]
    assert (assortment.tags("a1"), assortment.duration("a1"), assortment.duration("a2")) == ((), None, None)


@pytest.mark.parametrize("k", ["0", "x", "", "501", "-1", "9" * 400, "000000001" + "0" * 5_000])
def test_a_k_that_cannot_be_is_refused(k):
    with pytest.raises(BadQuery, match="k: expected a number from 1 to 500"):
        parse("u", {"k": k}, "r", 0)


def test_a_user_id_that_cannot_be_is_refused():
    with pytest.raises(BadQuery, match="user_id"):
        parse("é" * 200, {}, "r", 0)
