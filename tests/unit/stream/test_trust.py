"""People are trusted, machines are not, and no restart shows."""

import msgspec
import numpy as np
import pytest

from stream import trust as module
from stream.behaviour import Told, Visit, is_impossible
from stream.estimates import Estimates
from stream.evidence import Evidence
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings, Rules
from stream.trust import USERS, Trust, judge
from tests.makers import click, dwell, impression

ITEMS = [f"item-{n}" for n in range(40)]
MINUTE = 60_000
ROUND = 512
"""Visits: several rounds of judgement."""
STRANGER = 1.0


def person(rng: np.random.Generator, number: int, ts: int) -> Visit:
    """Looks at five items, thinks, and clicks some."""
    shown = [ITEMS[n] for n in rng.choice(len(ITEMS), 5, replace=False)]
    clicks = [(item_id, ts + int(2_000 + rng.exponential(9_000))) for item_id in shown if rng.random() < 0.3]
    return Visit(f"person-{number}", ts, shown, clicks, len(clicks), 0)


def robot(rule: str, ts: int, rng: np.random.Generator) -> Visit:
    """Breaks one rule and keeps the others."""
    plain = person(rng, 0, ts)
    first, second = plain.shown[:2]
    visits = {
        "stray": Visit("robot", ts),
        "impossible": Visit("robot", ts, plain.shown, [(first, ts + 5_000)], 1, 1),
        "hasty": Visit("robot", ts, plain.shown, [(first, ts + 5), (second, ts + 10)]),
        "devoted": Visit("robot", ts, ["item-0", *plain.shown[1:]], [("item-0", ts + 4_000)]),
        "greedy": Visit(
            "robot", ts, plain.shown, [(i, ts + 3_000 * n) for n, i in enumerate(plain.shown, 1)]
        ),
    }
    return visits[rule]


def crowd(n: int, seed: int, *, rule: str | None = None, every: int = 12, people: int = 60) -> list[Visit]:
    rng = np.random.default_rng(seed)
    return [
        robot(rule, at * 10_000, rng)
        if rule is not None and at % every == 0
        else person(rng, int(rng.integers(people)), at * 10_000)
        for at in range(n)
    ]


def named(visit: Visit) -> Visit:
    """The same with what there is to take back."""
    clicks = [(item_id, 0) for item_id, _ in visit.clicks]
    return msgspec.structs.replace(visit, told=Told(visit.user_id, "r", "feed", visit.ts, 1, clicks))


def after(visits: list[Visit]) -> Trust:
    trust = Trust()
    for visit in visits:
        trust.fold(named(visit))
    return trust


@pytest.mark.parametrize("rule", ["stray", "impossible", "hasty", "devoted", "greedy"])
def test_who_breaks_a_rule_is_not_trusted_and_the_others_are(rule):
    trust = after(crowd(4 * ROUND, seed=1, rule=rule))
    assert trust.of("robot", "a") < 0.1
    assert min(trust.of(f"person-{n}", "a") for n in range(60)) > 0.6


def test_people_are_trusted_the_heavy_ones_too():
    visits = crowd(6 * ROUND, seed=2)
    heavy = [person(np.random.default_rng(at), 999, at * 10_000 + 1) for at in range(0, 6 * ROUND, 3)]
    trust = after(sorted(visits + heavy, key=lambda visit: visit.ts))
    trusted = [trust.of(f"person-{n}", "a") for n in [*range(60), 999]]
    assert min(trusted) > 0.6 and sum(one == 1 for one in trusted) >= 55


def test_what_everybody_does_makes_nobody_a_machine():
    """A log that stamps every click at its impression, and every stay as well."""
    stamped = [
        msgspec.structs.replace(v, clicks=[(i, v.ts) for i, _ in v.clicks], impossible=v.stays)
        for v in crowd(4 * ROUND, seed=3)
    ]
    assert min(after(stamped).of(f"person-{n}", "a") for n in range(60)) > 0.6


def test_an_item_that_newcomers_click_together_is_learned_from_veterans_alone():
    rng = np.random.default_rng(4)
    visits = crowd(2 * ROUND, seed=4)
    at = visits[-1].ts
    for n in range(4 * ROUND):
        ts = at + n * 10_000
        if n % 8:
            visits.append(person(rng, int(rng.integers(60)), ts))
        else:
            shown = ["item-0", *person(rng, 0, ts).shown[1:]]
            clicks = [("item-0", ts + 4_000), (shown[1], ts + 9_000)][: 1 + (n % 3 == 0)]
            visits.append(Visit(f"robot-{n // 8 % 15}", ts, shown, clicks, 0, 0))
    trust = after(visits)
    assert trust.of("robot-0", "item-0") == trust.of("stranger", "item-0") == 0
    assert {told.user_id for told in trust.taken_back} >= {f"robot-{n}" for n in range(15)}
    assert trust.of("person-0", "item-0") > 0.6
    assert min(trust.of(f"person-{n}", "a") for n in range(60)) > 0.6


def test_little_evidence_is_weak_evidence():
    trust = after([Visit("robot", 0), Visit("robot", 1), *crowd(2 * ROUND, seed=5)])
    assert trust.of("robot", "a") > 0.5


def test_resuming_equals_running_through():
    visits = crowd(3 * ROUND, seed=6, rule="devoted")
    whole, rng = after(visits), np.random.default_rng(6)
    part, back = Trust(), []
    for visit in visits:
        part.fold(named(visit))
        if rng.random() < 0.05:
            back += part.taken_back
            raw = msgspec.msgpack.encode(part.snapshot())
            part = Trust()
            part.restore(msgspec.msgpack.decode(raw))
    assert back + part.taken_back == whole.taken_back != []
    assert _facts(part) == _facts(whole)


def test_users_are_bounded_and_the_distrusted_stay():
    strangers = [Visit(f"stranger-{n}", 10_000_000 + n, ["a"]) for n in range(USERS + ROUND)]
    trust = after([*crowd(2 * ROUND, seed=7, rule="devoted"), *strangers])
    assert trust.of("robot", "a") < 0.1
    assert len(module.Users(trust.snapshot()["table"]).ids) == USERS


def test_who_was_not_seen_for_a_week_is_forgotten():
    late = [msgspec.structs.replace(v, ts=v.ts + 8 * 86_400_000) for v in crowd(ROUND, seed=8)]
    trust = after([*crowd(2 * ROUND, seed=8, rule="devoted"), *late, *late])
    assert trust.of("robot", "a") == STRANGER


def test_oddity_alone_costs_little():
    rows = np.zeros((40, module.WIDTH))
    rows[:, module.ODDITY] = 0.5
    rows[-1, module.ODDITY] = 1.0
    trust = judge(rows, np.zeros((40, len(module.RULES))))
    assert trust[-1] == pytest.approx(1 - module.ODD)
    assert trust[:-1].min() == 1


@pytest.mark.parametrize(
    ("dwell_ms", "passed_ms", "duration_ms", "expected"),
    [(10_000, 10_000, None, False), (13_000, 10_000, None, True), (50_000, 10**9, 1_000, True)],
)
def test_a_stay_can_be_impossible(dwell_ms, passed_ms, duration_ms, expected):
    assert is_impossible(dwell_ms, passed_ms, duration_ms) is expected


def fold_of(events):
    """What a log teaches, and its labels; windows of a minute."""
    settings = JoinSettings(window_ms=MINUTE, lateness_ms=0, rules=Rules(refinements=frozenset({"trust"})))
    fold = PartitionFold(settings, {}, lambda _: 10_000.0)
    labels = [label for event in events for label in fold.fold(event, "all", None, 0)]
    labels += fold.drain()
    evidence = Evidence(Estimates, settings.epoch_ms, settings.horizon_ms)
    evidence.restore(fold.take_evidence())
    return fold, labels, evidence.at(2**61).trust.snapshot()


def test_a_click_on_the_slate_of_another_is_nobodys_click():
    fold, labels, learned = fold_of(
        [impression("r", 0), click("r", 5_000, user_id="thief"), dwell("r", 9_000, 3_000, user_id="thief")]
    )
    assert [outcome.clicked for label in labels for outcome in label.outcomes] == [False] * 3
    assert fold.counts == {"other_user": 2}
    assert msgspec.msgpack.decode(learned["log"][0]) == [
        ["u", 0, ["a", "b", "c"], [], 0, 0, None],
        ["thief", 0, [], [], 0, 0, None],
    ]


def test_clicks_off_the_slate_are_remembered_against_the_user_and_those_without_one_are_not():
    fold, _, learned = fold_of([impression("r", 0), click("r", 1_000, "z"), click("none", 2_000)])
    assert fold.counts == {"off_slate": 1, "orphans": 1}
    assert [visit[:3] for visit in msgspec.msgpack.decode(learned["log"][0])[1:]] == [["u", 0, []]]


def test_a_person_who_comes_back_to_old_pages_is_no_robot():
    events = []
    for at in range(2 * ROUND):
        user_id, ts = f"person-{at % 20}", 10_000 * at
        late = 2 * MINUTE + 10_000 if user_id == "person-0" else 5_000
        events += impression(f"r{at}", ts, "abc", user_id), click(f"r{at}", ts + late, "abc"[at % 3], user_id)
    fold, labels, _ = fold_of(sorted(events, key=lambda event: event.ts))
    assert fold.counts["orphans"] > 5
    assert {one.trust for label in labels for one in label.outcomes} == {1.0}


def test_the_trust_in_a_user_is_on_every_outcome():
    step = 10_000
    events = []
    for at in range(2 * ROUND):
        user_id = "robot" if at % 10 == 0 else f"person-{at % 37}"
        item_id = "a" if at % 10 == 0 else "abc"[at % 3]
        events.append(impression(f"r{at}", at * step, "abc", user_id))
        events.append(click(f"r{at}", at * step + 5_000, item_id, user_id))
    _, labels, _ = fold_of(events)
    last = {label.user_id: label for label in labels}
    assert max(outcome.trust for outcome in last["robot"].outcomes) < 0.3
    assert {outcome.trust for outcome in last["person-1"].outcomes} == {1.0}


def _facts(trust: Trust) -> dict:
    state = trust.snapshot()
    state["log"] = [visit for raw in state["log"] for visit in msgspec.msgpack.decode(raw)]
    return state
