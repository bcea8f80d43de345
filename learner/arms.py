"""What every competitor in a test-then-train evaluation can do, and the list of those there are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learner.base import Base
from learner.catalogue import Embed
from learner.controls import Popularity, SmoothedRates
from learner.cooccurrence import ItemKnn
from learner.fine_tuned import FineTuned, TuneSettings, everything, heads_only
from learner.fitting import BackfillSettings
from learner.learned_arms import AdaLora, Frozen, fixed_rank
from learner.query import Query
from learner.retrained import DAY_MS, HOUR_MS, Retrained
from learner.river_arms import river_fm, river_lr
from learner.update_settings import UpdateSettings
from schemas.errors import BaseError
from schemas.events import Item
from schemas.labels import LabeledSlate

Scores = NDArray[np.floating]


class Server(Protocol):
    """What answers queries."""

    def score(self, queries: Sequence[Query]) -> list[Scores]:
        """Probabilities per query, [n_candidates, len(TASKS)].

        Consecutive queries may share one candidates object, which does not change.
        """
        ...


class Arm(Server, Protocol):
    """A model under test.

    The harness scores everything between two publishes before it hands over what was observed meanwhile,
    and only then publishes. So an arm need not keep two versions: what it knows while it scores is what was
    published. Where an older version must go on answering, it is a copy.
    """

    def serving(self) -> Server:
        """What answers as the arm would now, whatever the arm learns afterwards."""
        ...

    def learn(self, slates: Sequence[LabeledSlate]) -> None:
        """Learn from labels, in the order in which they were observed."""
        ...

    def publish(self) -> None:
        """Let the next scores know what was learned."""
        ...

    @property
    def published_bytes(self) -> Sequence[int]:
        """Bytes of the checkpoints published so far, or of a sample; empty for arms that publish none."""
        ...

    @property
    def trained_parameters(self) -> int:
        """Numbers that the stream moves."""
        ...


@dataclass(frozen=True, kw_only=True)
class Start:
    """What every arm may know when the stream begins. `slates` are the labels of the warm-up, as observed.

    `update` is how the arms that are the live learner move their adapter.
    """

    items: Sequence[Item]
    slates: Sequence[LabeledSlate]
    seed: int
    embed: Embed | None = None
    base: Base | None = None
    update: UpdateSettings = UpdateSettings()  # noqa: RUF009  # frozen


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How an arm is made, and what is to be known of it before.

    needs_base: `Start` must hold a trained base and its text encoder.
    chance: another seed gives another arm, so that one run does not tell all.
    every_ms: it has no new version more often than this, however often others publish; None: it never has.
    """

    make: Callable[[Start], Arm]
    needs_base: bool = False
    chance: bool = False
    every_ms: int | None = 1


def _warmed(make: Callable[[Start], Arm], chance: bool = False) -> Entry:
    """An arm that learns the warm-up as it learns the stream."""

    def start(start: Start) -> Arm:
        arm = make(start)
        arm.learn(start.slates)
        arm.publish()
        return arm

    return Entry(make=start, chance=chance)


def _based(make: Callable[[Base, Embed, Start], Arm], every_ms: int | None = 1) -> Entry:
    """An arm that starts from the trained base, which has learned the warm-up already."""

    def start(start: Start) -> Arm:
        if start.base is None or start.embed is None:
            raise BaseError("arm: expected a trained base and its text encoder to start from, got none")
        return make(start.base, start.embed, start)

    return Entry(make=start, needs_base=True, chance=True, every_ms=every_ms)


HEAD_STEPS = TuneSettings(step=3e-4, row_step=0.005)
"""Those of the low-rank learner's small layer and rows; `full` is better with the smaller ones of its own."""


def _adalora(base: Base, embed: Embed, start: Start) -> Arm:
    return AdaLora(base, start.items, embed, start.seed, start.update)


def _lora(base: Base, embed: Embed, start: Start) -> Arm:
    return AdaLora(base, start.items, embed, start.seed, fixed_rank(start.update))


def _full(base: Base, embed: Embed, start: Start) -> Arm:
    return FineTuned(base, start.items, embed, start.seed, everything)


def _head(base: Base, embed: Embed, start: Start) -> Arm:
    return FineTuned(base, start.items, embed, start.seed, heads_only, HEAD_STEPS)


def _batch(base: Base, embed: Embed, start: Start) -> Arm:
    return Retrained(base, start.items, embed, BackfillSettings(seed=start.seed))


ARMS: Mapping[str, Entry] = {
    "adalora": _based(_adalora),
    "lora": _based(_lora),
    "full": _based(_full),
    "head": _based(_head),
    "frozen": _based(lambda base, embed, start: Frozen(base, start.items, embed), None),
    "batch-hourly": _based(_batch, HOUR_MS),
    "batch-daily": _based(_batch, DAY_MS),
    "river-lr": _warmed(lambda start: river_lr(start.items)),
    "river-fm": _warmed(lambda start: river_fm(start.items, start.seed), chance=True),
    "ctr": _warmed(lambda _start: SmoothedRates()),
    "popularity": _warmed(lambda _start: Popularity()),
    "itemknn": _warmed(lambda _start: ItemKnn()),
}
"""Name → entry. A new arm is one file and one line here; the contract test of arms picks it up."""


def needs_base(names: Iterable[str]) -> bool:
    """Whether one of these arms starts from a trained base."""
    return any(ARMS[name].needs_base for name in names)
