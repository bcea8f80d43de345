"""PURE: one shown slate while its outcomes are being found out, and the revisions that tell of them."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from schemas.events import Click, Impression, ShownItem
from schemas.labels import LabeledSlate, Outcome, Session
from stream import outcomes
from stream.behaviour import MOST_TOLD, Told, Visit, is_impossible
from stream.estimates import Estimates
from stream.join_settings import Rules
from stream.outcomes import Engagement
from stream.short_names import short
from stream.verdicts import DOUBTED

Durations: TypeAlias = Callable[[str], float | None]
"""Item id → length in ms, None where unknown."""

MOST_STRAYS = 16
"""So many clicks on what a slate does not show, or by others, say enough."""

_NONE: Mapping[str, float] = MappingProxyType({})


class Slate(msgspec.Struct, gc=False):
    """A slate from its arrival until it is forgotten; mutated in place by the functions below.

    Revisions are numbered so that no order of arrival can change them. Of n items: a click on the k-th, from
    0, is revision k; quick negatives, in the order of the clicks that prove them, from n; the final one 2n;
    corrections after it, and last what is taken back. There are gaps.

    `session` is None until the watermark has passed the impression, `closed_ts` until it is final; `glimpse`
    is what had arrived of the session when the first click did, `glimpsed` how many events had come late by
    then. `strays` clicked on what it does not show, or on another's slate; `lowest` is the position of the
    lowest click, `passed` the weight of every quick negative.
    """

    impression: Impression
    session: Session | None = None
    glimpse: Session | None = None
    glimpsed: int = 0
    closed_ts: int | None = None
    told: tuple[str, ...] = ()
    engagements: dict[str, Engagement] = {}
    lowest: int = -1
    passed: Mapping[str, float] = _NONE
    proofs: int = 0
    corrections: int = 0
    strays: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What the user's next slate replaces this one by: user and surface."""
        return self.impression.user_id, self.impression.surface

    def place(self, item_id: str) -> ShownItem | None:
        """Where the item stands, highest up; None if it was not on the slate."""
        best = None
        for shown in self.impression.items:
            if shown.item_id == item_id and (best is None or shown.position < best.position):
                best = shown
        return best


def tell_click(
    slate: Slate, click: Click, session: Session, rules: Rules, learned: Estimates
) -> LabeledSlate | None:
    """Return the revision that tells of a click at once; None for a second click, or one off the slate.

    Its session is what had arrived by now, and so are the trust in its user and, of several clicks on the
    item, the one that it tells of; the final revision's are exact.
    """
    shown = slate.place(click.item_id)
    if shown is None or click.item_id in slate.told:
        return None
    slate.told += (click.item_id,)
    trust = outcomes.trust_in(click.user_id, click.item_id, rules, learned)
    number = slate.impression.items.index(shown)
    return _revision(slate, number, click.ts, session, [outcomes.clicked(shown, trust)])


def engage(slate: Slate, shown: ShownItem, ts: int, kind: str, value: float) -> bool:
    """Take a click, a dwell (ms, the longest counts) or feedback into account; return whether it is news."""
    known = slate.engagements.get(shown.item_id)
    if known is None:
        known = slate.engagements[shown.item_id] = Engagement()
    if kind == "click":
        news = known.clicked_ts is None
        if news:
            known.clicked_ts = ts
            if shown.position > slate.lowest:
                slate.lowest = shown.position
    elif kind == "dwell":
        news = known.dwell_ms is None or value > known.dwell_ms
        if news:
            known.dwell_ms = value
        known.impossible |= is_impossible(value, ts - slate.impression.ts, None)
    else:
        news = known.feedback is None or known.feedback.get(kind) != value
        known.feedback = {**(known.feedback or {}), kind: value}
    return news


def pass_over(
    slate: Slate, clicked: ShownItem, ts: int, rules: Rules, learned: Estimates
) -> LabeledSlate | None:
    """Return the revision that tells of the items above a click: seen, and passed over (Joachims 2002).

    None if there is nothing new to tell. What the user did anything with is left to the final revision.
    """
    shown, known = slate.impression, slate.engagements
    if len(shown.items) == 1:
        return None
    above = [
        item
        for item in distinct(slate)
        if item.position < clicked.position and item.item_id not in known and item.item_id not in slate.passed
    ]
    if not above:
        return None
    slate.proofs += 1
    negatives = [
        outcomes.skipped(
            item,
            rules,
            learned,
            shown.surface,
            ts - shown.ts,
            trust=outcomes.trust_in(shown.user_id, item.item_id, rules, learned),
        )
        for item in above
    ]
    slate.passed = {**slate.passed, **{one.item_id: one.weight for one in negatives}}
    return _revision(slate, len(shown.items) + slate.proofs - 1, ts, slate.session, negatives)


def close(slate: Slate, ts: int, durations: Durations, rules: Rules, learned: Estimates) -> LabeledSlate:
    """Return the final revision, which decides every item, as of event time `ts`."""
    slate.closed_ts = ts
    unclicked = _unclicked(slate, rules, learned)
    decided = [_final(slate, item, durations, rules, learned, unclicked) for item in distinct(slate)]
    return _revision(slate, 2 * len(slate.impression.items), ts, slate.session, decided)


def correct(
    slate: Slate,
    shown: ShownItem,
    lowest: int,
    ts: int,
    durations: Durations,
    rules: Rules,
    learned: Estimates,
) -> LabeledSlate:
    """Return a revision of an item that was heard of after the slate was closed.

    Also of those of which it shows that they were looked at: the lowest click was at `lowest` before.
    """
    slate.corrections += 1
    revised = [shown]
    if slate.lowest > lowest and "examination" in rules.refinements:
        known = slate.engagements
        revised += [
            item
            for item in distinct(slate)
            if lowest < item.position <= slate.lowest and item.item_id not in known
        ]
    revision = 2 * len(slate.impression.items) + slate.corrections
    unclicked = _unclicked(slate, rules, learned)
    decided = [_final(slate, item, durations, rules, learned, unclicked) for item in revised]
    return _revision(slate, revision, ts, slate.session, decided)


def distinct(slate: Slate) -> Iterable[ShownItem]:
    """The items of a slate, each where it stands highest up."""
    items = slate.impression.items
    if len(items) == 1:
        return items
    highest: dict[str, ShownItem] = {}
    for item in items:
        known = highest.setdefault(item.item_id, item)
        if item.position < known.position:
            highest[item.item_id] = item
    return highest.values()


def teach(slate: Slate, durations: Durations, rules: Rules, growing: Estimates, used: Estimates) -> None:
    """Learn from a slate that nothing can change any more, told by the estimates `used`.

    Only what a refinement asks for.
    """
    surface, asked = slate.impression.surface, rules.refinements
    if "satisfaction" in asked:
        plays = rules.plays(surface)
        for item in distinct(slate):
            done = slate.engagements.get(item.item_id)
            if done is not None and done.dwell_ms is not None and (done.clicked_ts is not None or plays):
                growing.fold_stay(done.dwell_ms, durations(item.item_id), surface)
    if "delays" in asked or "examination" in asked:
        growing.fold_slate(surface, [(item, _delay_ms(slate, item)) for item in distinct(slate)])
    if "trust" in asked:
        growing.fold_visit(_visit(slate, durations, used))
        for user_id in slate.strays:
            growing.fold_visit(Visit(short(user_id), slate.impression.ts))


def _delay_ms(slate: Slate, item: ShownItem) -> int | None:
    """How long after the impression an item was first clicked."""
    done = slate.engagements.get(item.item_id)
    if done is None or done.clicked_ts is None:
        return None
    return max(0, done.clicked_ts - slate.impression.ts)


def _visit(slate: Slate, durations: Durations, used: Estimates) -> Visit:
    """What the user did with the slate, as far as it tells a person from a machine."""
    shown, done = slate.impression, slate.engagements
    clicks = [(short(item_id), one.clicked_ts) for item_id, one in done.items() if one.clicked_ts is not None]
    stays = [(item_id, one, one.dwell_ms) for item_id, one in done.items() if one.dwell_ms is not None]
    return Visit(
        short(shown.user_id),
        shown.ts,
        [short(item.item_id) for item in shown.items],
        clicks,
        len(stays),
        sum(one.impossible or is_impossible(ms, ms, durations(item_id)) for item_id, one, ms in stays),
        _told(slate, used) if clicks else None,
    )


def _told(slate: Slate, used: Estimates) -> Told | None:
    """What may have to be taken back."""
    shown, done = slate.impression, slate.engagements
    clicks = [
        (item.item_id, item.position)
        for item in distinct(slate)
        if (one := done.get(item.item_id)) is not None and one.clicked_ts is not None
    ]
    trusted = [click for click in clicks if used.trusted(shown.user_id, click[0]) >= DOUBTED]
    if not trusted:
        return None
    revision = 2 * len(shown.items) + slate.corrections + 1
    return Told(shown.user_id, shown.request_id, shown.surface, shown.ts, revision, trusted[:MOST_TOLD])


def _final(
    slate: Slate, shown: ShownItem, durations: Durations, rules: Rules, learned: Estimates, unclicked: float
) -> Outcome:
    known = slate.engagements.get(shown.item_id)
    surface, user_id = slate.impression.surface, slate.impression.user_id
    trust = outcomes.trust_in(user_id, shown.item_id, rules, learned)
    # A quick negative keeps the weight it was told with: the click that it waits for may still come.
    weight = slate.passed.get(shown.item_id, unclicked)
    if known is None:
        return outcomes.untouched(
            shown, rules, learned, surface, weight=weight, lowest=slate.lowest, trust=trust
        )
    duration_ms = None if known.dwell_ms is None else durations(shown.item_id)
    return outcomes.touched(
        shown, known, rules, learned, surface, duration_ms, negative_weight=weight, trust=trust
    )


def _unclicked(slate: Slate, rules: Rules, learned: Estimates) -> float:
    """How much an item counts as a negative from the slate's end on."""
    shown = slate.impression
    return outcomes.negative_weight(rules, learned, shown.surface, (slate.closed_ts or 0) - shown.ts)


def _revision(
    slate: Slate, revision: int, observed_ts: int, session: Session | None, decided: list[Outcome]
) -> LabeledSlate:
    shown = slate.impression
    return LabeledSlate(
        request_id=shown.request_id,
        revision=revision,
        user_id=shown.user_id,
        ts=shown.ts,
        observed_ts=observed_ts,
        surface=shown.surface,
        policy=shown.policy,
        model_version=shown.model_version,
        context=shown.context,
        session=session or Session(),
        slate=[item.item_id for item in shown.items],
        outcomes=decided,
    )
