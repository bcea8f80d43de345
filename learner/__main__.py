"""SHELL: `python -m learner`: the learner's process, assembled here and nowhere else.

`torchrun --nproc-per-node N -m learner` starts N ranks that learn as one: each reads its share of the label
partitions and computes its share of each step; the first one publishes and snapshots. When one dies torchrun
starts all again, with `--max-restarts`, and they go on from the newest snapshot.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch

from learner.base import Base, load_base
from learner.connections import close_producer, connect_producer, require_answer
from learner.follower import follow
from learner.group import joined
from learner.items import ItemFeed, ItemQueue
from learner.kafka import EvaluationSink, LabelSource, ModelSink
from learner.loop import run
from learner.online import OnlineLearner
from learner.ports import Items, Ports
from learner.ranks import Ranks
from learner.settings import LearnerSettings
from learner.shared_ports import NoItems, first_clock, shared_ports
from learner.snapshots import SnapshotWriter
from learner.text import TextEncoder
from learner.watchdog import watch
from schemas import topics
from schemas.errors import FreshrankError

logger = logging.getLogger("learner")

CLOSE_S = 1.0
ANSWER_S = 5.0
"""How long the broker may take to say that it is there when the learner ends."""

END_S = 25.0
"""From the order to stop to the forced end: what is waited for takes 17, orchestrators kill after 30."""


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch(stop.is_set, END_S)
    try:
        serve(LearnerSettings.from_env(os.environ), stop, os.environ)
    except FreshrankError as error:
        logger.error("%s: %s", type(error).__name__, error)  # what to do stands in it; the trace says no more
        return 1
    return 0


def serve(settings: LearnerSettings, stop: threading.Event, environ: Mapping[str, str]) -> None:
    """Connect everything, learn until `stop` is set, and disconnect."""
    base = load_base(settings.base_dir)
    with ExitStack() as closing:
        ranks = closing.enter_context(joined(environ))
        online = _open_learner(settings, base, ranks, closing)
        logger.info("learning %s over base %s from %s", settings.model, base.hash, settings.broker)
        ports = _open_ports(settings, base.hash, ranks, closing)
        if ranks.size == 1:
            run(settings, online, ports, now_ms, stop)
        else:
            agreed = threading.Event()
            shared = shared_ports(ranks, ports, stop, agreed)
            run(settings, online, shared, first_clock(ranks, now_ms), agreed)
        require_answer(settings, ANSWER_S)  # who is stopped while it is away has to say so


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def _open_learner(settings: LearnerSettings, base: Base, ranks: Ranks, closing: ExitStack) -> OnlineLearner:
    torch.set_num_threads(settings.threads)
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    embed = TextEncoder(Path(settings.state_dir), base.text_encoder, device)
    closing.callback(embed.close)
    return OnlineLearner(base, embed, settings, settings.seed, device, ranks)


def _open_ports(settings: LearnerSettings, base_hash: str, ranks: Ranks, closing: ExitStack) -> Ports:
    producer = connect_producer(settings)
    closing.callback(close_producer, producer, CLOSE_S)
    labels = LabelSource(
        settings,
        settings.prefix,
        settings.learner_group,
        producer,
        rank=ranks.rank,
        world_size=ranks.size,
        least=max(1, settings.batch_min // ranks.size),
    )
    closing.callback(labels.close)
    return Ports(
        labels=labels,
        models=ModelSink(producer, settings.prefix, now_ms),
        snapshots=SnapshotWriter(settings.snapshot_dir(base_hash)),
        items=_follow_items(settings, closing) if ranks.rank == 0 else NoItems(),
        evaluations=EvaluationSink(producer, settings.prefix),
    )


def _follow_items(settings: LearnerSettings, closing: ExitStack) -> Items:
    queue, stop = ItemQueue(), threading.Event()
    follower = follow(settings, settings.prefix + topics.ITEMS.name, queue.put, stop)
    closing.callback(follower.join, CLOSE_S)
    closing.callback(stop.set)
    return ItemFeed(queue, follower)


if __name__ == "__main__":
    sys.exit(main())
