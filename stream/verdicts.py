"""PURE: who is trusted with what, as of one judgement, and what is taken back in its light."""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import NamedTuple

import msgspec

from schemas.labels import LabeledSlate, Outcome, Session
from stream.behaviour import Told, Visit
from stream.short_names import short

DOUBTED = 0.5
"""What is trusted less than this, and was told with more, is taken back."""


class Siege(NamedTuple):
    """An item's: before `began_ms` nobody took part; it is over at `until_ms`."""

    began_ms: int
    until_ms: int


class Verdict(NamedTuple):
    """Distrusted users with the trust left in them, besieged items, and veterans.

    An item is besieged to all but veterans, of whom one need know only while any item is. Names are short.

    >>> verdict = Verdict({"robot": 0.1}, {"spam": Siege(0, 9)}, {"expert"})
    >>> verdict.of("robot", "a"), verdict.of("stranger", "spam"), verdict.of("expert", "spam")
    (0.1, 0.0, 1.0)
    """

    distrusted: Mapping[str, float] = {}
    besieged: Mapping[str, Siege] = {}
    veterans: Set[str] = frozenset()

    def of(self, user_id: str, item_id: str) -> float:
        """Return the trust in what a user does with an item, in [0, 1]."""
        if self.besieged and short(item_id) in self.besieged and short(user_id) not in self.veterans:
            return 0.0
        return self.distrusted.get(short(user_id), 1.0) if self.distrusted else 1.0

    @property
    def doubts(self) -> bool:
        """Whether it doubts anything."""
        return bool(self.besieged) or any(trust < DOUBTED for trust in self.distrusted.values())


def take_back(new: Iterable[Visit], past: Iterable[Visit], before: Verdict, after: Verdict) -> Iterator[Told]:
    """Yield what a judgement takes back of visits: of `past` ones only what `before` did not do already."""
    if not after.doubts:
        return
    for visits, known in ((new, Verdict()), (past, before)):
        for told in (visit.told for visit in visits if visit.told is not None):
            clicks = [
                click
                for click in told.clicks
                if after.of(told.user_id, click[0]) < DOUBTED <= known.of(told.user_id, click[0])
            ]
            if clicks:
                yield msgspec.structs.replace(told, clicks=clicks)


def revoke(told: Told, observed_ts: int) -> LabeledSlate:
    """Return the revision that takes clicks back: they are not trusted. It says nothing else of the slate."""
    return LabeledSlate(
        request_id=told.request_id,
        revision=told.revision,
        user_id=told.user_id,
        ts=told.ts,
        observed_ts=observed_ts,
        surface=told.surface,
        session=Session(),
        slate=[item_id for item_id, _ in told.clicks],
        outcomes=[
            Outcome(item_id=item_id, position=position, clicked=True, trust=0.0, final=True)
            for item_id, position in told.clicks
        ],
    )
