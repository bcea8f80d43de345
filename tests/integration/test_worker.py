"""A real worker process beside a broker: labels, dead letters, sessions, HTTP, and what a crash costs."""

import json
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from schemas.codec import MAX_BYTES, decode
from schemas.deadletters import CUT_HEADER
from schemas.labels import LabeledSlate
from schemas.topics import DAY_MS, RETENTION_MS
from schemas.trace import HEADER, LOGGED_AT, Trace
from stream.administration import create_topics
from stream.process import free_port
from stream.settings import Settings
from stream.storage import Store
from tests.cluster import PATIENCE_S, Cluster, Message, now_ms, slates_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NOW = now_ms()
"""For what nobody takes: users act in `now_ms()`, which moves, and what is older than that is late."""


class Bad(NamedTuple):
    """A message that nobody can use, and the reason that its dead letter must give."""

    name: str
    topic: str
    value: bytes | None
    reason: str
    headers: tuple[tuple[str, bytes], ...] = ()


def event(record: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**record, **changes}).encode()


def click(**changes: Any) -> bytes:
    plain = {"event_id": uuid.uuid4().hex, "request_id": "bad", "user_id": "u", "item_id": "a"}
    return event({**plain, "ts": now_ms()}, **changes)


def dwell(**changes: Any) -> bytes:
    return click(**{"dwell_ms": 5_000, **changes})


def impression(**changes: Any) -> bytes:
    plain = {
        "event_id": uuid.uuid4().hex,
        "request_id": "bad",
        "user_id": "u",
        "ts": now_ms(),
        "items": [{"item_id": "a", "position": 0}, {"item_id": "b", "position": 1}],
    }
    return event(plain, **changes)


BAD = [
    Bad("not JSON", "clicks", b"click!", "not_json"),
    Bad("no bytes at all", "clicks", None, "not_json"),
    Bad("truncated UTF-8", "searches", b'{"event_id":"\xc3', "not_json"),
    Bad("NaN", "dwells", dwell().replace(b"5000", b"NaN"), "not_json"),
    Bad("too deep", "feedback", b'{"x":' + b"[" * 100_000, "not_json"),
    Bad("a wrong type", "clicks", click(ts="now"), "invalid"),
    Bad("a missing field", "searches", event({"event_id": "e", "user_id": "u", "ts": NOW}), "invalid"),
    Bad("an unknown kind", "feedback", click(kind="shrug"), "invalid"),
    Bad("an empty slate", "impressions", impression(items=[]), "invalid"),
    Bad("a negative dwell", "dwells", dwell(dwell_ms=-1), "invalid"),
    Bad(
        "a propensity of zero",
        "impressions",
        impression(items=[{"item_id": "a", "position": 0, "propensity": 0}]),
        "invalid",
    ),
    Bad("an id too long", "clicks", click(user_id="é" * 200), "id_too_long"),
    Bad("too large", "searches", event({}, query="x" * MAX_BYTES), "too_large"),
    Bad("a newer schema", "clicks", click(), "schema_unsupported", (("schema", b"99"),)),
    Bad("from the future", "clicks", click(ts=NOW + DAY_MS), "from_the_future"),
    Bad("before retention", "clicks", click(ts=NOW - RETENTION_MS - DAY_MS), "before_retention"),
    Bad("an item without a title", "items", event({"item_id": "i", "ts": NOW}), "invalid"),
    Bad("an erasure of nobody", "erasures", event({"event_id": "e", "ts": NOW}), "invalid"),
    Bad("a request for nothing", "recommendation-requests", click(k=0), "invalid"),
]


def put_items(cluster: Cluster) -> None:
    """Put items a, b and c, and wait until they are offered."""
    for item in "abc":
        cluster.send("items", event({"item_id": item, "ts": NOW, "title": item}), item.encode())
    ask = "/recommendations/nobody?k=500"

    def offered() -> bool:
        return {"a", "b", "c"} <= {item["item_id"] for item in cluster.worker.get_json(ask)["items"]}

    cluster.worker.until(offered, PATIENCE_S, "three items")


def is_final(slates: list[LabeledSlate]) -> bool:
    return any(outcome.final for slate in slates for outcome in slate.outcomes)


@pytest.fixture(
    scope="module", params=["embedded_broker", pytest.param("real_kafka", marks=pytest.mark.kafka)]
)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("worker")
    name = f"w{uuid.uuid4().hex[:10]}"
    settings = Settings(
        broker=request.getfixturevalue(request.param).address,
        prefix=f"{name}.",
        group=name,
        state_dir=str(home / "state"),
        web_port=free_port(),
        partitions=2,
        window_s=2.0,
        lateness_s=0.5,
    )
    create_topics(settings)
    with Cluster(settings, home / "worker.log") as cluster:
        yield cluster


def test_a_click_becomes_a_label_at_once_and_a_final_one_after_the_window(cluster: Cluster) -> None:
    now = now_ms()
    cluster.send_together(
        [
            Message("impressions", impression(request_id="r1", ts=now)),
            Message("clicks", click(request_id="r1", item_id="b", ts=now + 300)),
            Message("dwells", dwell(request_id="r1", item_id="b", ts=now + 900, dwell_ms=9_000)),
        ]
    )
    slates = cluster.labels("r1", is_final)
    first, last = slates[0], slates[-1]
    assert [(o.item_id, o.clicked, o.final) for o in first.outcomes] == [("b", True, False)]
    assert {o.item_id: (o.clicked, o.satisfaction) for o in last.outcomes} == {
        "a": (False, None),
        "b": (True, 0.5),
    }
    (record, *_) = cluster.read("labels", lambda records: len(records) >= len(slates))
    trace = decode(Trace, dict(record.headers)[HEADER])
    assert trace.event is not None
    assert trace.label is not None
    assert trace.event <= trace.label
    assert record.key == b"u"


def test_every_bad_input_gets_one_dead_letter_and_its_neighbours_are_processed(cluster: Cluster) -> None:
    expected, now = {}, now_ms()
    for number, bad in enumerate(BAD):
        of = {"request_id": f"good{number}", "user_id": f"u{number}"}
        (_, place, _) = cluster.send_together(
            [
                Message("impressions", impression(**of, ts=now)),
                Message(bad.topic, bad.value, headers=bad.headers),
                Message("clicks", click(**of, ts=now + 100)),
            ]
        )
        expected[place] = bad
    letters = cluster.read("dead-letters", lambda records: len(records) >= len(BAD))
    headers = [dict(letter.headers) for letter in letters]
    places = [(h["topic"].decode(), int(h["partition"]), int(h["offset"])) for h in headers]
    assert sorted(places) == sorted(expected)
    for place, letter, header in zip(places, letters, headers, strict=True):
        bad = expected[place]
        assert header["reason"].decode() == bad.reason, bad.name
        assert letter.value == (bad.value or b"")[:MAX_BYTES], bad.name
        assert (CUT_HEADER in header) == (bad.reason == "too_large")
        assert letter.key == b"u"
    for number in range(len(BAD)):
        assert cluster.labels(f"good{number}", bool)
    cluster.wait_for_metric('freshrank_dead_letters_total{reason="too_large"} 1.0')
    store = Store(cluster.settings.database_url)
    try:
        indexed = cluster.worker.until(
            lambda: rows if len(rows := store.refusals()) >= len(BAD) else None, PATIENCE_S, "the index"
        )
    finally:
        store.close()
    assert {(row.topic, row.partition, row.offset) for row in indexed} == set(expected)


def test_twice_is_once_and_out_of_order_is_joined_and_an_orphan_is_no_label(cluster: Cluster) -> None:
    now = now_ms()
    twice = Message("clicks", click(request_id="r2", ts=now + 100, event_id="twice"))
    orphan = Message("clicks", click(request_id="never", ts=now + 200))
    late = Message("impressions", impression(request_id="r2", ts=now))
    cluster.send_together([twice, orphan, late, twice])
    slates = cluster.labels("r2", is_final)
    assert sum(not outcome.final for slate in slates for outcome in slate.outcomes) == 1
    labels = cluster.read("labels", lambda records: is_final(slates_of(records, "r2")))
    assert not slates_of(labels, "never")


def test_an_old_log_is_judged_by_its_own_time(cluster: Cluster) -> None:
    old = NOW - 400 * DAY_MS
    headers = ((LOGGED_AT, str(old).encode()),)
    shown = impression(request_id="old", user_id="old", ts=old)
    clicked = click(request_id="old", user_id="old", ts=old + 100)
    cluster.send_together(
        [Message("impressions", shown, b"old", headers), Message("clicks", clicked, b"old", headers)]
    )
    assert cluster.labels("old", bool)[0].ts == old


def test_requests_are_answered_on_the_topic_and_over_http(cluster: Cluster) -> None:
    put_items(cluster)
    asked = {"request_id": "q1", "user_id": "reader", "ts": now_ms(), "k": 2, "candidates": ["c", "x"]}
    cluster.send("recommendation-requests", event(asked), b"reader")
    answer = cluster.answer("q1")
    assert {item.item_id for item in answer.items} == {"c", "x"}
    assert (answer.model_version, answer.degraded) == (None, "no checkpoint yet")
    (sent,) = cluster.read("recommendations", bool)
    assert decode(Trace, dict(sent.headers)[HEADER]).served
    assert cluster.worker.get("/recommendations/reader?k=many")[0] == 400
    assert cluster.worker.get("/healthz") == (200, b"ok\n")
    assert cluster.worker.get_json("/readyz") == {"partitions": True, "catalogue": True}


def test_a_removed_item_is_not_recommended(cluster: Cluster) -> None:
    cluster.send("items", event({"item_id": "gone", "ts": NOW, "title": "gone"}), b"gone")
    ask = "/recommendations/reader?k=500"

    def offered() -> bool:
        return "gone" in [item["item_id"] for item in cluster.worker.get_json(ask)["items"]]

    cluster.worker.until(offered, PATIENCE_S, "the item")
    cluster.send("items", None, b"gone")
    cluster.worker.until(lambda: not offered(), PATIENCE_S, "its removal")


def test_a_killed_worker_loses_nothing_and_knows_its_users(cluster: Cluster) -> None:
    put_items(cluster)
    ts = now_ms()
    cluster.send_together(
        [
            Message("clicks", click(request_id="r9", user_id="kill", ts=ts - 100), b"kill"),
            Message("impressions", impression(request_id="k1", user_id="kill", ts=ts), b"kill"),
            Message("clicks", click(request_id="k1", user_id="kill", ts=ts + 100), b"kill"),
        ]
    )
    before = cluster.labels("k1", bool)
    cluster.restart()
    after = cluster.labels("k1", is_final)
    by_id: dict[str, list[LabeledSlate]] = {}
    for slate in after:
        by_id.setdefault(slate.label_id, []).append(slate)
    assert before[0].label_id in by_id
    assert all(slate == slates[0] for slates in by_id.values() for slate in slates)
    assert [item.item_id for item in before[0].session.recent] == ["a"]
    asked = {"request_id": "q2", "user_id": "kill", "ts": ts + 200, "k": 500}
    cluster.send("recommendation-requests", event(asked), b"kill")
    answer = cluster.answer("q2")
    offered = {item.item_id for item in answer.items}
    assert offered == {"b", "c"}, "what was clicked before the crash is not offered"


def test_an_order_to_stop_is_followed(cluster: Cluster) -> None:
    assert cluster.worker.stop() == 0
