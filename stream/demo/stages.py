"""SHELL: a demo from its first stage to its last; whatever ends it, nothing of it is left behind."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from learner.settings import LearnerSettings
from schemas.events import Item
from stream.administration import create_topics
from stream.backfill import backfill
from stream.broker import EmbeddedBroker
from stream.commands.bars import StageBars
from stream.demo.measurements import Measurements
from stream.demo.observer import Observer
from stream.demo.plan import Plan
from stream.demo.processes import Loop, running
from stream.demo.sample_log import write_sample
from stream.demo.screen import Screen
from stream.logs import between, count_events, read_events, read_items, split_ts
from stream.process import free_port
from stream.replay import at_rate, open_producer, replay
from stream.settings import Settings

SETTLE_S = 15.0
CHECK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Played:
    """A demo whose replay is over, with everything still running."""

    settings: Settings
    loop: Loop
    seen: Measurements
    items: list[Item]


@contextmanager
def played(plan: Plan, console: Console) -> Iterator[Played]:
    """Run all stages; what was started is ended when the block ends.

    Raises:
        FreshrankError: a stage failed, or a process ended early; with its last output.
    """
    with tempfile.TemporaryDirectory(prefix="freshrank-demo-") as home, EmbeddedBroker() as broker:
        directory = Path(home)
        settings = Settings(broker=broker.address, state_dir=str(directory / "state"), web_port=free_port())
        log, split = _prepare(plan, directory, settings, console)
        items = list(read_items(log))
        with (
            open_producer(settings) as producer,
            console.status("starting the stream worker and the learner…"),
        ):
            replay(items, producer)
        with running(settings, directory) as loop, Observer(settings) as observer:
            console.print(f"worker and learner are ready; replaying the rest at {plan.rate:,.0f} events/s")
            _replay(log, split, plan, settings, loop, observer, console)
            yield Played(settings=settings, loop=loop, seen=observer.seen, items=items)


def _prepare(plan: Plan, directory: Path, settings: Settings, console: Console) -> tuple[Path, int]:
    """Make the topics, the log, and the base of its first part; returns the log and where that part ends."""
    made = create_topics(settings)
    console.print(f"embedded broker on {settings.broker}, {len(made)} topics")
    log = directory / "log"
    write_sample(log, plan.users)
    split = split_ts(log, plan.base_part)
    first, rest = count_events(log, None, split), count_events(log, split)
    console.print(
        f"KuaiRand sample, {plan.users:.0%} of its users: {first:,} events for the base, {rest:,} to replay"
    )
    with StageBars(console) as bars:
        trained = backfill(log, split, LearnerSettings(state_dir=settings.state_dir), settings.join, bars)
    console.print(f"base {trained.base.hash}: {trained.examples:,} examples")
    return log, split


def _replay(
    log: Path, split: int, plan: Plan, settings: Settings, loop: Loop, observer: Observer, console: Console
) -> None:
    watch = Watch(loop, observer)
    total = count_events(log, split)
    with open_producer(settings) as producer, Screen(console, observer.seen, total) as screen:

        def sent() -> None:
            screen.sent()
            watch.look()

        replay(between(read_events(log), split, None), producer, at_rate(plan.rate), sent)
        _settle(observer.seen, watch)


class Watch:
    """Notices, now and then, that a process or the observer has ended."""

    def __init__(self, loop: Loop, observer: Observer) -> None:
        self._parts = (loop, observer)
        self._next = 0.0

    def look(self) -> None:
        """Raise the error of whatever has ended; cheap enough to be called for every event."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + CHECK_EVERY_S
            for part in self._parts:
                part.check()


def _settle(seen: Measurements, watch: Watch) -> None:
    """Wait, within bounds, until no more labels come of what was sent."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        recent = seen.flow[-4:]
        if len(recent) == 4 and recent[0].labels == recent[-1].labels:
            return
        watch.look()
        time.sleep(CHECK_EVERY_S)
