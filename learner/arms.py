"""What every competitor in a test-then-train evaluation can do, and the list of those there are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from learner.base import Base
from learner.catalogue import Embed
from learner.controls import Popularity, SmoothedRates
from learner.cooccurrence import ItemKnn
from learner.learned_arms import AdaLora, Frozen
from learner.query import Query
from schemas.errors import BaseError
from schemas.events import Item
from schemas.labels import LabeledSlate

Scores = NDArray[np.floating]


class Arm(Protocol):
    """A model under test.

    The harness scores everything between two publishes before it hands over what was observed meanwhile,
    and only then publishes. So an arm need not keep two versions: what it knows while it scores is what was
    published.
    """

    def score(self, queries: Sequence[Query]) -> list[Scores]:
        """Probabilities per query, [n_candidates, len(TASKS)].

        Consecutive queries may share one candidates object, which does not change.
        """
        ...

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Learn from labels, in the order in which they were observed."""
        ...

    def publish(self) -> None:
        """Let the next scores know what was learned."""
        ...

    @property
    def published_bytes(self) -> Sequence[int]:
        """Bytes of each checkpoint published so far; empty for arms that publish none."""
        ...

    @property
    def trained_parameters(self) -> int:
        """Numbers that the stream moves."""
        ...


@dataclass(frozen=True, kw_only=True)
class Start:
    """What every arm may know when the stream begins. `slates` are the labels of the warm-up, as observed."""

    items: Sequence[Item]
    slates: Sequence[LabeledSlate]
    seed: int
    embed: Embed | None = None
    base: Base | None = None


class Entry(NamedTuple):
    """How an arm is made, and whether `Start` must hold a trained base and its text encoder for it."""

    make: Callable[[Start], Arm]
    needs_base: bool = False


def _warmed(make: Callable[[], Arm]) -> Entry:
    """An arm that learns the warm-up as it learns the stream."""

    def start(start: Start) -> Arm:
        arm = make()
        arm.learn(start.slates)
        arm.publish()
        return arm

    return Entry(start)


def _based(make: Callable[[Base, Embed, Start], Arm]) -> Entry:
    """An arm that starts from the trained base, which has learned the warm-up already."""

    def start(start: Start) -> Arm:
        if start.base is None or start.embed is None:
            raise BaseError("arm: expected a trained base and its text encoder to start from, got none")
        return make(start.base, start.embed, start)

    return Entry(start, needs_base=True)


ARMS: Mapping[str, Entry] = {
    "adalora": _based(lambda base, embed, start: AdaLora(base, start.items, embed, start.seed)),
    "frozen": _based(lambda base, embed, start: Frozen(base, start.items, embed)),
    "ctr": _warmed(SmoothedRates),
    "popularity": _warmed(Popularity),
    "itemknn": _warmed(ItemKnn),
}
"""Name → entry. A new arm is one file and one line here; the contract test of arms picks it up."""


def needs_base(names: Iterable[str]) -> bool:
    """Whether one of these arms starts from a trained base."""
    return any(ARMS[name].needs_base for name in names)
