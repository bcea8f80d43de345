"""The whole loop with real processes: a click is labelled, learned, published, served, and compared."""

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from learner.backfill import train_base
from learner.base import save_base
from learner.fitting import BackfillSettings
from learner.ranker import RankerSettings
from learner.settings import LearnerSettings
from learner.text import DEFAULT_TEXT_ENCODER, TextEncoder
from schemas.codec import decode, encode
from schemas.environment import variable
from schemas.evaluation import Evaluation
from schemas.events import Item
from schemas.labels import LabeledSlate, Outcome, Session
from schemas.recommendation import Recommendation
from schemas.trace import HEADER, Trace
from stream.administration import create_topics
from stream.broker import EmbeddedBroker
from stream.checkpoint_feed import REFUSED
from stream.cli import main
from stream.live_evaluation import METRIC
from stream.process import free_port
from stream.settings import Settings
from tests.cluster import PATIENCE_S, Cluster, Message, now_ms
from tests.makers import click, impression
from tests.processes import Process, running
from tests.worker_fakes import manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

T = TypeVar("T")

TINY = RankerSettings(width=16, heads=2, hidden=8, items=64, users=1_024, attributes=64, contexts=16)
ITEMS = [Item(item_id=name, ts=0, title=f"Item {name}", tags=["letters"]) for name in "abcd"]


def past_label(number: int) -> LabeledSlate:
    outcomes = [
        Outcome(item_id=item, position=place, clicked=place == number % 3, final=True)
        for place, item in enumerate("abc")
    ]
    return LabeledSlate(
        request_id=f"past{number}",
        revision=0,
        user_id=f"u{number % 8}",
        ts=number,
        observed_ts=number + 1,
        session=Session(),
        slate=list("abc"),
        outcomes=outcomes,
    )


def put_base(directory: Path, cache: Path) -> None:
    embed = TextEncoder(cache)
    try:
        settings = BackfillSettings(epochs=1, patience=1)
        labels = map(past_label, range(64))
        save_base(train_base(ITEMS, labels, embed, DEFAULT_TEXT_ENCODER, TINY, settings).base, directory)
    finally:
        embed.close()


def learner_environment(settings: Settings) -> dict[str, str]:
    learner = LearnerSettings(
        broker=settings.broker, prefix=settings.prefix, state_dir=settings.state_dir, publish_ms=200
    )
    return {variable(spec.name): str(getattr(learner, spec.name)) for spec in fields(learner)}


@pytest.fixture(scope="module")
def cluster(embedded_broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A worker with a base, and a learner beside it; every click is a click on item `a`. A model serves."""
    home = tmp_path_factory.mktemp("loop")
    name = f"s{uuid.uuid4().hex[:10]}"
    settings = Settings(
        broker=embedded_broker.address,
        prefix=f"{name}.",
        group=name,
        state_dir=str(home),
        web_port=free_port(),
        partitions=2,
        window_s=1.0,
        lateness_s=0.2,
    )
    put_base(settings.base_dir, home)
    create_topics(settings)
    learner = Process([sys.executable, "-m", "learner"], learner_environment(settings), home / "learner.log")
    with running(learner), Cluster(settings, home / "worker.log") as cluster:
        for item in ITEMS:
            cluster.send("items", encode(item), item.item_id.encode())
        answers_that_learned(cluster)
        yield cluster


def browse(cluster: Cluster) -> None:
    """Each of the users sees a slate, and clicks on its first item."""
    messages = []
    for number in range(8):
        now, user, request_id = now_ms(), f"u{number}", uuid.uuid4().hex
        shown, clicked = impression(request_id, now, "abc", user), click(request_id, now + 1, "a", user)
        messages.append(Message("impressions", encode(shown), user.encode()))
        messages.append(Message("clicks", encode(clicked), user.encode()))
    cluster.send_together(messages)


def read_while_browsing(
    cluster: Cluster, topic: str, wanted: Callable[[list[Any]], list[T]], count: int
) -> list[T]:
    """What is wanted of a topic's records, once there is so much of it; meanwhile users browse on.

    No single click is sure to show: an answer may be refreshed by a version after the one that learned it,
    which has none of its times; and a slate that is scored only after its label is not compared.
    """

    def enough(records: list[Any]) -> bool:
        browse(cluster)
        return len(wanted(records)) >= count

    return wanted(cluster.read(topic, enough))


def evaluations(records: list[Any], name: str) -> list[Evaluation]:
    return [one for one in (decode(Evaluation, record.value) for record in records) if one.name == name]


def answers_that_learned(cluster: Cluster) -> list[Any]:
    return read_while_browsing(cluster, "recommendations", by_a_model_that_learned, count=1)


def trace_of(record: Any) -> Trace:
    return decode(Trace, dict(record.headers)[HEADER])


def by_a_model_that_learned(records: list[Any]) -> list[Any]:
    """Leaves out answers without a model (`degraded`), and those by a checkpoint that had no click in it."""
    served = [record for record in records if decode(Recommendation, record.value).degraded is None]
    return [record for record in served if trace_of(record).learned is not None]


def test_a_click_comes_back_as_a_recommendation_of_a_model_that_learned_it(cluster: Cluster) -> None:
    (first, *_) = answers_that_learned(cluster)
    answer = decode(Recommendation, first.value)
    assert answer.request_id == f"refresh:{answer.model_version}:{answer.user_id}"
    assert first.key.decode() == answer.user_id
    assert {item.item_id for item in answer.items} <= set("bcd"), "what was clicked is not offered again"
    trace = trace_of(first)
    stamps = [trace.event, trace.label, trace.learned, trace.published, trace.served]
    assert all(stamps)
    assert stamps == sorted(stamps)


def test_the_answer_over_http_names_the_serving_version(cluster: Cluster) -> None:
    assert cluster.worker.get_json("/readyz") == {"partitions": True, "catalogue": True, "models": True}
    answer = cluster.worker.get_json("/recommendations/nobody?k=4")
    assert {item["item_id"] for item in answer["items"]} == set("abcd")
    assert "degraded" not in answer
    assert answer["model_version"]
    cluster.wait_for_metric('freshrank_checkpoints_total{outcome="served"}')
    cluster.wait_for_metric('freshrank_freshness_seconds_count{stage="total"}')


def test_live_evaluation_compares_both_arms_on_the_same_window(cluster: Cluster) -> None:
    wanted = partial(evaluations, name=METRIC)
    found = read_while_browsing(cluster, "evaluations", wanted, count=2)[:2]
    assert {one.slice["arm"] for one in found} == {"online", "frozen"}
    assert len({(one.count, one.window_start, one.window_end) for one in found}) == 1
    assert all(0 <= one.value <= 1 for one in found)


def test_a_broken_checkpoint_is_refused_with_a_reason_and_the_serving_version_stays(cluster: Cluster) -> None:
    broken = manifest("0" * 16, base="foreign", sha256="0" * 64)
    headers = (("kind", b"chunk"),)
    cluster.send("models", b"not weights", b"default/0000000000000000/0", headers)
    cluster.send("models", encode(broken), b"default/0000000000000000/manifest", (("kind", b"manifest"),))
    records = cluster.read("evaluations", lambda records: bool(evaluations(records, REFUSED)))
    (refused,) = evaluations(records, REFUSED)
    assert refused.model_version == broken.version
    assert "expected sha256" in refused.slice["reason"]
    assert cluster.worker.get_json("/recommendations/nobody")["model_version"] != broken.version


def test_the_registry_lists_what_was_published(cluster: Cluster) -> None:
    environment = cluster.settings.to_env()
    version = cluster.worker.get_json("/recommendations/nobody")["model_version"]
    show = ["models", "show", version[:8]]
    found = cluster.worker.until(
        lambda: result if not (result := CliRunner(env=environment).invoke(main, show)).exit_code else None,
        PATIENCE_S,
        "the model in the registry",
    )
    assert version in found.output
    listed = CliRunner(env=environment).invoke(main, ["models", "list", "--limit", "500"])
    assert version in listed.output
    unknown = CliRunner(env=environment).invoke(main, ["models", "show", "ffffffffffffffff"])
    assert unknown.exit_code == 1
    assert "expected one checkpoint of this version, found none" in unknown.output
