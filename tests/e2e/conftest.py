"""A planted world, a base that was trained on its past, and the loop's processes around them."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from learner.backfill import train_base
from learner.base import load_base, save_base
from learner.fitting import BackfillSettings
from learner.ranker import RankerSettings
from learner.text import DEFAULT_TEXT_ENCODER, TextEncoder
from schemas.codec import encode
from schemas.events import UserEvent
from schemas.topics import USER_EVENTS
from stream.administration import create_topics
from stream.broker import EmbeddedBroker
from stream.labelled_log import read_labels
from stream.logs import write_log
from stream.process import free_port
from stream.settings import Settings
from tests.cluster import PATIENCE_S, Cluster, Message
from tests.processes import Process
from tests.synthetic import World, log, topic_of, world

LEARNER_IS_READY = "catalogue:"
SMALL = RankerSettings(width=32, hidden=32, items=256, users=256, attributes=256, contexts=16)


@dataclass(frozen=True, kw_only=True)
class Past:
    """A world, and the state directory with the base that was trained on what happened in it."""

    world: World
    base: Path

    @property
    def hash(self) -> str:
        return load_base(self.base).hash


@pytest.fixture(scope="session")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    torch.set_num_threads(1)  # the cores are shared by several processes here
    planted = world(n_users=40, n_items=60)
    home = tmp_path_factory.mktemp("past")
    events = log(planted, n_slates=800, slate_size=6)
    write_log(home / "log", "items", planted.items)
    for topic in USER_EVENTS:
        write_log(home / "log", topic.name, (event for event in events if topic_of(event) == topic.name))
    embed = TextEncoder(home)
    try:
        labels = read_labels(home / "log", planted.items)
        trained = train_base(
            planted.items, labels, embed, DEFAULT_TEXT_ENCODER, SMALL, BackfillSettings(epochs=6)
        )
    finally:
        embed.close()
    save_base(trained.base, home / "base")
    return Past(world=planted, base=home / "base")


class Loop:
    """Worker and learner; either can be killed and started again."""

    def __init__(self, settings: Settings, closing: ExitStack) -> None:
        self.settings = settings
        self._closing = closing
        self._home = Path(settings.state_dir)
        self.start_learner()
        self.cluster = closing.enter_context(Cluster(settings, self._home / "worker.log"))

    def start_learner(self) -> None:
        environment = {
            **self.settings.to_env(),
            "FRESHRANK_PUBLISH_MS": "200",
            "FRESHRANK_SNAPSHOT_S": "1",
            "FRESHRANK_BATCH_MAX": "16",
        }
        self.learner = Process([sys.executable, "-m", "learner"], environment, self._home / "learner.log")
        self._closing.callback(_end, self.learner)
        self.learner.until(lambda: LEARNER_IS_READY in self.learner.output(), PATIENCE_S, "its catalogue")

    def send(self, *events: UserEvent) -> None:
        self.cluster.send_together(
            Message(topic_of(event), encode(event), event.user_id.encode()) for event in events
        )


def _end(process: Process) -> None:
    if process.is_alive():
        process.stop()


@pytest.fixture
def loop(embedded_broker: EmbeddedBroker, past: Past, tmp_path: Path) -> Iterator[Loop]:
    """The loop over the past's base, with its items, and windows of two seconds."""
    name = f"e{uuid.uuid4().hex[:10]}"
    settings = Settings(
        broker=embedded_broker.address,
        prefix=f"{name}.",
        group=name,
        state_dir=str(tmp_path),
        base=str(past.base),
        web_port=free_port(),
        window_s=2.0,
        lateness_s=0.2,
    )
    create_topics(settings)
    with ExitStack() as closing:
        loop = Loop(settings, closing)
        for item in past.world.items:
            loop.cluster.send("items", encode(item), item.item_id.encode())
        yield loop
