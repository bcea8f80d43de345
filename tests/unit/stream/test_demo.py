"""What a demo measures, and what it reports of it."""

import json
import math

import pytest

from schemas.evaluation import Evaluation
from schemas.events import Item
from schemas.recommendation import Recommendation
from schemas.trace import Trace
from stream.demo.measurements import Flow, Measurements
from stream.demo.picture import draw
from stream.demo.plan import Plan, takes_part
from stream.demo.report import report
from stream.demo.tryout import instructions, of_one_kind

WAY = Trace(event=1_000, label=1_100, learned=1_300, published=1_600, served=2_000)


def answer(version: str | None) -> Recommendation:
    return Recommendation(request_id="r", user_id="u", ts=1, items=[], policy="p", model_version=version)


def auc(arm: str, value: float, count: int) -> Evaluation:
    return Evaluation(
        name="auc_click",
        value=value,
        count=count,
        model_version=None,
        window_start=0,
        window_end=1,
        slice={"arm": arm},
    )


@pytest.fixture
def seen() -> Measurements:
    made = Measurements()
    made.published = 2
    made.serve(1.0, answer(None), Trace())
    made.serve(2.0, answer("v1"), WAY)
    made.serve(3.0, answer("v1"), Trace())
    for value, count in ((0.6, 100), (0.7, 300)):
        made.evaluate(4.0, auc("online", value, count))
    made.evaluate(4.0, auc("frozen", 0.5, 100))
    made.count(10.0, 300, 200)
    return made


def test_freshness_is_from_the_click_to_an_answer_by_a_model_that_learned_it(seen):
    assert (seen.version, seen.served, len(seen.fresh)) == ("v1", {"v1"}, 1)
    assert seen.freshness().p50 == 1.0
    assert seen.stage("learned", "published").p50 == pytest.approx(0.3)
    assert seen.rates == (30.0, 20.0)


def test_the_report_has_what_was_measured_as_json(seen):
    found = json.loads(json.dumps(report(seen, Plan(), "some broker", 12.34)))
    assert (found["events"], found["labels"], found["broker"]) == (300, 200, "some broker")
    assert (found["checkpoints_published"], found["checkpoints_served"]) == (2, 1)
    assert found["freshness_s"] == {"p50": 1.0, "p99": 1.0, "answers": 1}
    assert found["auc"] == {"online": 0.675, "frozen": 0.5}
    assert found["stages_s"]["label"]["p50"] == 0.1


def test_what_was_not_measured_is_null_and_not_a_number():
    found = report(Measurements(), Plan(), "b", 1.0)
    assert found["freshness_s"]["p50"] is None
    assert found["auc"] == {"online": None, "frozen": None}
    assert math.isnan(Measurements().last_auc("online"))


def test_the_picture_is_drawn_of_much_and_of_nothing(seen, tmp_path):
    for name, measured in (("much.png", seen), ("nothing.png", Measurements(flow=[Flow(0.0, 0, 0)]))):
        draw(measured, "title", tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_about_the_share_that_was_asked_for_takes_part():
    users = [f"u{number}" for number in range(2_000)]
    some = {user for user in users if takes_part(user, 0.3)}
    more = {user for user in users if takes_part(user, 0.6)}
    assert 500 < len(some) < 700
    assert some < more


def test_the_instructions_name_items_of_one_kind_and_are_python():
    items = [Item(item_id=str(n), ts=0, title="", tags=["jazz" if n % 2 else "chess"]) for n in range(9)]
    assert of_one_kind(items) == ("chess", ["0", "2", "4"])
    text = instructions("host:1", "http://host:2", items)
    code = text[text.index("  import json") : text.index("Ask again")]
    compile("\n".join(line[2:] for line in code.splitlines()), "example", "exec")
    assert "['0', '2', '4']" in code
    assert "curl 'http://host:2/recommendations/me?k=5'" in text
