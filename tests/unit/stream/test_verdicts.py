"""What is doubted is taken back once, and nothing else is."""

from stream.behaviour import Told, Visit
from stream.verdicts import Siege, Verdict, revoke, take_back

SHOWN = ["spam", "a"]


def visit(user_id: str, clicked: str = "spam a") -> Visit:
    clicks = [(item_id, SHOWN.index(item_id)) for item_id in clicked.split()]
    return Visit(user_id, 1_000, SHOWN, told=Told(user_id, f"r-{user_id}", "home", 1_000, 5, clicks))


CALM = Verdict()
SIEGE = Verdict({}, {"spam": Siege(0, 9_000)}, {"veteran"})
DISTRUST = Verdict({"robot": 0.1, "odd": 0.7})


def taken(*args) -> list[tuple[str, list[str]]]:
    return [(told.user_id, [item_id for item_id, _ in told.clicks]) for told in take_back(*args)]


def test_clicks_of_newcomers_on_a_besieged_item_are_taken_back():
    visits = [visit("robot"), visit("veteran"), Visit("idle", 1_000, SHOWN)]
    assert taken(visits, [visit("other")], CALM, SIEGE) == [("robot", ["spam"]), ("other", ["spam"])]


def test_all_clicks_of_a_distrusted_user_are_taken_back_and_none_of_an_odd_one():
    assert taken([visit("robot"), visit("odd"), visit("person")], [], CALM, DISTRUST) == [("robot", SHOWN)]


def test_what_was_taken_back_before_is_left_alone():
    new, past = [visit("robot", "a")], [visit("robot")]
    assert taken(new, past, DISTRUST, DISTRUST) == [("robot", ["a"])]
    assert taken(new, past, DISTRUST, CALM) == []


def test_clicks_are_revoked_by_a_revision_after_all_others():
    [told] = take_back([visit("robot")], [], CALM, DISTRUST)
    label = revoke(told, observed_ts=7_000)
    assert (label.label_id, label.ts, label.observed_ts, label.surface) == ("r-robot#5", 1_000, 7_000, "home")
    assert [(o.item_id, o.position, o.clicked, o.trust, o.final) for o in label.outcomes] == [
        ("spam", 0, True, 0.0, True),
        ("a", 1, True, 0.0, True),
    ]
