"""PURE: what became of one shown item, in the terms of a label."""

import msgspec

from schemas.events import ShownItem
from schemas.labels import NO_BOUNCE, Outcome
from schemas.opinions import decisive
from stream.estimates import Estimates
from stream.join_settings import Rules
from stream.satisfaction import is_bounce, satisfaction


class Engagement(msgspec.Struct, gc=False):
    """What a user did with one item of the slate, so far; `clicked_ts` is of the first click.

    `feedback` is shared with the outcomes that tell of it, and replaced where there is more.
    """

    clicked_ts: int | None = None
    dwell_ms: float | None = None
    feedback: dict[str, float] | None = None
    impossible: bool = False


def untouched(
    shown: ShownItem,
    rules: Rules,
    learned: Estimates,
    surface: str,
    *,
    weight: float,
    lowest: int,
    trust: float,
) -> Outcome:
    """Return the final outcome of an item that the user did nothing with.

    Args:
        shown: the item.
        rules: how to judge.
        learned: the estimates in effect.
        surface: where it was shown.
        weight: how much it counts, as of when it was first taken for a negative.
        lowest: the position of the lowest click on the slate, −1 without one: whoever clicked there has
            looked at what is above (the cascade of Craswell et al., WSDM 2008).
        trust: in what the user does with it.
    """
    seen = 1.0
    if shown.position > lowest and "examination" in rules.refinements:
        seen = learned.examined(surface, shown.position)
    return Outcome(
        item_id=shown.item_id,
        position=shown.position,
        propensity=shown.propensity,
        examined=seen,
        trust=trust,
        weight=weight,
        final=True,
    )


def touched(
    shown: ShownItem,
    known: Engagement,
    rules: Rules,
    learned: Estimates,
    surface: str,
    duration_ms: float | None,
    *,
    negative_weight: float,
    trust: float,
) -> Outcome:
    """Return the final outcome of an item that the user did something with; see `untouched`.

    Args:
        shown: the item.
        known: what the user did with it.
        rules: how to judge.
        learned: the estimates in effect.
        surface: where it was shown.
        duration_ms: its length, if known.
        negative_weight: how much it counts if it was not clicked.
        trust: in what the user does with it.
    """
    clicked = known.clicked_ts is not None
    pleased = _satisfaction(known, rules, learned, surface, duration_ms)
    # What the user says comes first: who complains of an item, or praises it, did not leave it by mistake.
    regretted = is_bounce(clicked, pleased) and _said(known) is None
    return Outcome(
        item_id=shown.item_id,
        position=shown.position,
        propensity=shown.propensity,
        clicked=clicked,
        dwell_ms=known.dwell_ms,
        satisfaction=pleased,
        feedback=known.feedback or {},
        trust=trust,
        weight=1.0 if clicked else negative_weight,
        bounce=rules.bounce_weight if regretted and rules.bounce_weight else NO_BOUNCE,
        final=True,
    )


def clicked(shown: ShownItem, trust: float) -> Outcome:
    """Return the outcome of an item that was just clicked; how it pleased is not known yet."""
    return Outcome(
        item_id=shown.item_id,
        position=shown.position,
        propensity=shown.propensity,
        clicked=True,
        trust=trust,
    )


def skipped(
    shown: ShownItem, rules: Rules, learned: Estimates, surface: str, elapsed_ms: int, *, trust: float
) -> Outcome:
    """Return the outcome of an item that the user passed over, `elapsed_ms` after the impression."""
    return Outcome(
        item_id=shown.item_id,
        position=shown.position,
        propensity=shown.propensity,
        weight=negative_weight(rules, learned, surface, elapsed_ms),
        trust=trust,
    )


def trust_in(user_id: str, item_id: str, rules: Rules, learned: Estimates) -> float:
    """Return how far a user's outcome with an item is trusted."""
    return learned.trusted(user_id, item_id) if "trust" in rules.refinements else 1.0


def negative_weight(rules: Rules, learned: Estimates, surface: str, elapsed_ms: int) -> float:
    """Return how much an item counts as a negative that was not clicked by so long after the impression."""
    return learned.negative_weight(surface, elapsed_ms) if "delays" in rules.refinements else 1.0


def _satisfaction(
    known: Engagement, rules: Rules, learned: Estimates, surface: str, duration_ms: float | None
) -> float | None:
    """What the user said, else the stay; that without a click only where items play by themselves."""
    said = _said(known) if "feedback" in rules.refinements else None
    if said is not None:
        return said
    if known.dwell_ms is None or (known.clicked_ts is None and not rules.plays(surface)):
        return None
    if "satisfaction" in rules.refinements:
        return learned.satisfied(known.dwell_ms, duration_ms, surface)
    return satisfaction(known.dwell_ms, duration_ms)


def _said(known: Engagement) -> float | None:
    return decisive(known.feedback) if known.feedback else None
