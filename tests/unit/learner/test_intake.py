"""What an example is encoded with: the counts of others, never what became of its own slate."""

import msgspec
import numpy as np
import pytest

from learner.batching import Example
from learner.catalogue import Keys
from learner.intake import Intake
from learner.knowledge import Knowledge
from learner.ledger import Ledger
from learner.ranker import RankerSettings
from schemas.events import Item
from schemas.labels import LabeledSlate, Outcome, Session

SHAPE = RankerSettings(text_width=4, items=16, users=16, attributes=16, contexts=8)
CATALOGUE = [Item(item_id=name, ts=0, title=name, tags=["t"], attributes={"maker": "m"}) for name in "abc"]


def intake() -> Intake:
    known = Knowledge(SHAPE, Keys(names=("maker",)), lambda texts: np.zeros((len(texts), 4), np.float32))
    known.catalogue.put(CATALOGUE)
    return Intake(known, Ledger(100), np.random.default_rng(0))


def label(request: str, revision: int, *outcomes: Outcome) -> LabeledSlate:
    return LabeledSlate(
        request_id=request,
        revision=revision,
        user_id="u",
        ts=1,
        observed_ts=2,
        surface="feed",
        session=Session(),
        slate=["a", "b"],
        outcomes=list(outcomes),
    )


def outcome(item: str, *, clicked: bool, satisfaction: float | None = None, final: bool = True) -> Outcome:
    return Outcome(item_id=item, position=0, clicked=clicked, satisfaction=satisfaction, final=final)


def clicked(request: str) -> LabeledSlate:
    return label(request, 0, outcome("a", clicked=True, final=False))


def final(request: str) -> LabeledSlate:
    return label(request, 2, outcome("a", clicked=True, satisfaction=1.0), outcome("b", clicked=False))


def taken(taker: Intake, slate: LabeledSlate) -> Example:
    (example,) = taker.take([slate])
    assert example is not None
    return example


def test_a_later_revision_is_encoded_without_what_the_earlier_one_counted() -> None:
    told, untold = intake(), intake()
    for taker in (told, untold):
        taken(taker, final("other"))
    taken(told, clicked("r"))
    # All features, of the clicked item and of the one that shares its tag, maker and surface.
    once, twice = taken(untold, final("r")).encoded.features, taken(told, final("r")).encoded.features
    assert np.ptp(once) > 0
    assert twice == pytest.approx(once, abs=1e-5)


def test_every_shown_item_is_counted_once_whatever_its_revisions() -> None:
    told, untold = intake(), intake()
    taken(told, clicked("r"))
    corrected = label("r", 3, outcome("b", clicked=True))
    for slate in (final("r"), corrected):
        taken(told, slate)
    taken(untold, label("r", 2, outcome("a", clicked=True, satisfaction=1.0), outcome("b", clicked=True)))
    probes = [taken(taker, label("later", 2, outcome("c", clicked=False))) for taker in (told, untold)]
    assert probes[0].encoded.features == pytest.approx(probes[1].encoded.features, abs=1e-5)


def test_what_is_taken_back_is_nearly_as_if_it_had_never_been_counted() -> None:
    """Nearly: the clicks expected of it are those that would be expected now."""
    told, untold = intake(), intake()
    taken(told, clicked("r"))
    taken(told, final("r"))
    doubted = Outcome(item_id="a", position=0, clicked=True, trust=0.0, final=True)
    assert told.take([label("r", 5, doubted)]) == [None]
    row = told._vocabulary.items.lookup("a")
    assert row in told.recounted["items"] and told.recounted["attributes"] and told.recounted["contexts"]
    taken(untold, label("r", 2, outcome("b", clicked=False)))
    probes = [taken(taker, label("later", 2, outcome("c", clicked=False))) for taker in (told, untold)]
    assert probes[0].encoded.features == pytest.approx(probes[1].encoded.features, abs=0.02)


def test_an_item_may_get_other_tags_between_the_revisions_of_its_slate() -> None:
    """What it counted under the old ones is not in the counts of the new ones."""
    taker = intake()
    shown = [outcome(item, clicked=False, final=False) for item in "abc"]
    taken(taker, label("r", 0, *shown))
    retagged = [msgspec.structs.replace(item, tags=["new"]) for item in CATALOGUE]
    taker._knowledge.catalogue.put(retagged)
    revised = taken(taker, label("r", 1, *(outcome(item, clicked=False) for item in "abc")))
    assert np.isfinite(revised.encoded.features).all()


def test_a_click_rate_may_rise_between_the_revisions_of_a_slate() -> None:
    """More clicks are then expected of what is taken out than were of what was counted."""
    taker = intake()
    names = [f"n{number}" for number in range(50)]
    taken(taker, label("r", 0, *(outcome(name, clicked=False, final=False) for name in names)))
    for number in range(50):
        taken(taker, label(f"clicked-{number}", 0, outcome("a", clicked=True)))
    revised = taken(taker, label("r", 1, *(outcome(name, clicked=False) for name in names)))
    assert np.isfinite(revised.encoded.features).all()


@pytest.mark.parametrize("shown", [1, 20, 50])
def test_a_surface_without_a_row_has_revisions_as_any_other(shown: int) -> None:
    taker = intake()
    for number in range(SHAPE.contexts):
        taker._knowledge.vocabulary.contexts.admit(f"surface={number}")
    names = [f"n{number}" for number in range(shown)]
    taken(taker, label("r", 0, *(outcome(name, clicked=False, final=False) for name in names)))
    revised = taken(taker, label("r", 1, *(outcome(name, clicked=False) for name in names)))
    assert np.isfinite(revised.encoded.features).all()


def test_counts_go_on_where_single_precision_would_stop() -> None:
    taker = intake()
    taken(taker, clicked("first"))
    counters, context = taker._knowledge.counters, taker._encoder.context("feed")
    counters.tables["contexts"][context] = counters.totals[:] = 2.0**24, 2.0**23, 2.0**22, 2.0**23
    before = counters.tables["contexts"][context].copy()
    for number in range(8):
        taken(taker, label(f"r{number}", 0, outcome("b", clicked=number % 2 == 0)))
    np.testing.assert_array_equal(counters.tables["contexts"][context, :2] - before[:2], [8, 4])
    assert counters.tables["contexts"][context, 3] == pytest.approx(before[3] + 4, abs=1e-3)
    assert counters.click_rate(context) == pytest.approx(0.5)
