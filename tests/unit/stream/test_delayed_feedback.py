"""P5 in short: `make bench-delays` runs it in full."""

from functools import cache

from tests.planted_delays import Delayed, Result, Visit, closed, labelled, learn, visits, waited

LAWS = Delayed(between_ms=1_200_000, n_users=500)
HOUR_MS, WARM_MS = 3_600_000, 2_400_000


@cache
def seen() -> list[Visit]:
    return visits(LAWS, HOUR_MS)


@cache
def results() -> dict[str, Result]:
    streams = {
        "oracle": waited(seen(), 0),
        "wait": waited(seen(), 600_000),
        "late": labelled(seen(), ()),
        "quick": labelled(seen(), ("quick", "delays")),
    }
    return {name: learn(seen(), stream, WARM_MS) for name, stream in streams.items()}


def test_early_labels_win_back_most_of_what_waiting_costs():
    found = results()
    assert found["oracle"].auc - found["wait"].auc > 0.1
    assert closed(found["quick"], found["wait"], found["oracle"]) > 0.8


def test_quick_negatives_are_earlier_and_better_than_those_at_the_end():
    found = results()
    assert found["quick"].label_age_s < 0.9 * found["late"].label_age_s
    assert found["quick"].auc > found["late"].auc


def test_a_quick_negative_weighs_less_and_the_end_of_the_window_adds_nothing():
    quick: dict[tuple[str, str], float] = {}
    added = []
    for at, label in labelled(seen(), ("quick", "delays")):
        if at < seen()[0].impression.ts + WARM_MS:
            continue  # delays are not known yet
        for outcome in label.outcomes:
            key = label.request_id, outcome.item_id
            if not outcome.clicked and not outcome.final:
                quick[key] = outcome.weight
            elif not outcome.clicked and key in quick:
                added.append(outcome.weight - quick[key])
    assert 0.8 < min(quick.values()) < 0.95
    assert max(map(abs, added)) < 0.01
