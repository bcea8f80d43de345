"""PURE: one shown slate while its outcomes are being found out, and the revisions that tell of them."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from schemas.events import Click, Impression, ShownItem
from schemas.labels import LabeledSlate, Outcome, Session
from stream.satisfaction import satisfaction

Durations: TypeAlias = Callable[[str], float | None]
"""Item id → length in ms, None where unknown."""


class Engagement(msgspec.Struct):
    """What a user did with one item of the slate, so far."""

    clicked: bool = False
    dwell_ms: float | None = None
    feedback: dict[str, float] = {}


class Slate(msgspec.Struct):
    """A slate from its arrival until it is forgotten; mutated in place by the functions below.

    Revisions are numbered so that no order of arrival can change them: the clicks, in click order, from 0;
    the final one by the number of items, which no click can reach; corrections after it. There are gaps.

    `session` is None until the watermark has passed the impression, `closed_ts` until it is final; `glimpse`
    is what had arrived of the session when the first click did.
    """

    impression: Impression
    session: Session | None = None
    glimpse: Session | None = None
    closed_ts: int | None = None
    told: list[str] = []
    engagements: dict[str, Engagement] = {}
    corrections: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What the user's next slate replaces this one by: user and surface."""
        return self.impression.user_id, self.impression.surface

    def shows(self, item_id: str) -> bool:
        """Whether the item was on the slate."""
        return any(shown.item_id == item_id for shown in self.impression.items)


def tell_click(slate: Slate, click: Click, session: Session) -> LabeledSlate | None:
    """Return the revision that tells of a click at once; None for a second click, or one off the slate.

    Its session is what had arrived by now; the final revision's is exact.
    """
    if click.item_id in slate.told or not slate.shows(click.item_id):
        return None
    slate.told.append(click.item_id)
    shown = next(shown for shown in slate.impression.items if shown.item_id == click.item_id)
    outcome = _outcome(shown, Engagement(clicked=True), None, final=False)
    return _revision(slate, len(slate.told) - 1, click.ts, session, [outcome])


def engage(slate: Slate, item_id: str, kind: str, value: float) -> bool:
    """Take a click, a dwell (ms, the longest counts) or feedback into account; return whether it is news."""
    known = slate.engagements.setdefault(item_id, Engagement())
    if kind == "click":
        news, known.clicked = not known.clicked, True
    elif kind == "dwell":
        news = known.dwell_ms is None or value > known.dwell_ms
        known.dwell_ms = value if news else known.dwell_ms
    else:
        news = known.feedback.get(kind) != value
        known.feedback[kind] = value
    return news


def close(slate: Slate, ts: int, durations: Durations) -> LabeledSlate:
    """Return the final revision, which decides every item, as of event time `ts`."""
    slate.closed_ts = ts
    distinct: dict[str, ShownItem] = {}
    for shown in slate.impression.items:
        distinct.setdefault(shown.item_id, shown)
    outcomes = [_final(slate, shown, durations) for shown in distinct.values()]
    return _revision(slate, len(slate.impression.items), ts, slate.session, outcomes)


def correct(slate: Slate, item_id: str, ts: int, durations: Durations) -> LabeledSlate:
    """Return a revision of one item that was heard of after the slate was closed."""
    slate.corrections += 1
    shown = next(shown for shown in slate.impression.items if shown.item_id == item_id)
    revision = len(slate.impression.items) + slate.corrections
    return _revision(slate, revision, ts, slate.session, [_final(slate, shown, durations)])


def _final(slate: Slate, shown: ShownItem, durations: Durations) -> Outcome:
    known = slate.engagements.get(shown.item_id)
    if known is None:
        return _outcome(shown, _IGNORED, None, final=True)
    pleased = None
    if known.dwell_ms is not None:
        pleased = satisfaction(known.dwell_ms, durations(shown.item_id))
    return _outcome(shown, known, pleased, final=True)


_IGNORED = Engagement()


def _outcome(shown: ShownItem, known: Engagement, pleased: float | None, *, final: bool) -> Outcome:
    return Outcome(
        item_id=shown.item_id,
        position=shown.position,
        propensity=shown.propensity,
        clicked=known.clicked,
        dwell_ms=known.dwell_ms,
        satisfaction=pleased,
        feedback=dict(known.feedback),
        final=final,
    )


def _revision(
    slate: Slate, revision: int, observed_ts: int, session: Session | None, outcomes: Iterable[Outcome]
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
        outcomes=list(outcomes),
    )
