"""`make bench-crash`: a learner that is killed again and again over a long log on Apache Kafka.

One label partition, updates and checkpoints by count: afterwards every label must be in the weights once, and
the whole trainer state must be, byte for byte, that of a learner which nobody disturbed.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.kafka.server import KafkaServer
from learner import snapshots
from learner.backfill import train_base
from learner.base import load_base, save_base
from learner.connections import connect_producer
from learner.fitting import BackfillSettings
from learner.online import OnlineLearner
from learner.ranker import RankerSettings
from learner.settings import LearnerSettings
from learner.text import DEFAULT_TEXT_ENCODER
from learner.trainer_state import unpack
from learner.update_settings import UpdateSettings
from schemas import codec, environment, topics
from schemas.access import Access
from schemas.labels import LabeledSlate, Outcome, Session, SessionItem
from stream.administration import create_topics
from stream.broker import EmbeddedBroker
from stream.settings import Settings
from tests.bench.report import ROOT, Figure, machine, show, write
from tests.processes import Process, running

BATCH, BLOCK, REVISIONS = 250, 500, 3
PUBLISHED = 10 * BATCH
SHAPE = RankerSettings(
    width=16, layers=1, heads=2, hidden=8, items=512, users=2_048, attributes=64, contexts=16
)
PATIENCE_S = 3_600.0


def labels(count: int) -> Iterator[LabeledSlate]:
    """Three revisions a slate, each another outcome, apart in time: the ledger holds them all."""
    for number in range(count):
        block, within = divmod(number, BLOCK * REVISIONS)
        revision, place = divmod(within, BLOCK)
        yield _label(block * BLOCK + place, revision, number)


def _label(slate: int, revision: int, ts: int) -> LabeledSlate:
    shown = [f"i{(slate * 7 + place * 11) % 400}" for place in range(REVISIONS)]
    clicked = (slate + revision) % 4 == 0
    recent = [SessionItem(item_id=f"i{slate % 400}", action="click", satisfaction=1.0, age_s=60.0)]
    return LabeledSlate(
        request_id=f"r{slate}",
        revision=revision,
        user_id=f"u{slate % 1_500}",
        ts=1_000 + ts,
        observed_ts=2_000 + ts,
        session=Session(recent=recent),
        slate=shown,
        outcomes=[Outcome(item_id=shown[revision], position=revision, clicked=clicked, final=True)],
    )


class Run:
    """A learner's process over the labels of one broker, killed and started at will."""

    def __init__(self, broker: str, directory: Path, base: str, snapshot_s: float) -> None:
        self.settings = LearnerSettings(
            broker=broker,
            state_dir=str(directory),
            publish_examples=PUBLISHED,
            batch_min=BATCH,
            batch_max=BATCH,
            snapshot_s=snapshot_s,
        )
        self._directory, self._snapshots = directory, self.settings.snapshot_dir(base)

    def process(self) -> Process:
        given = environment.to_env(self.settings)
        return Process([sys.executable, "-m", "learner"], given, self._directory / "learner.log")

    def learned(self) -> int:
        """How many labels the newest snapshot reflects, by its first line: it is asked all the time."""
        files = sorted(Path(self._snapshots).glob("snapshot-" + "[0-9]" * 12))
        if not files:
            return 0
        with files[-1].open("rb") as file:
            offsets: dict[str, int] = json.loads(file.readline())["offsets"]
        return sum(offsets.values())

    def state(self) -> bytes:
        found = snapshots.newest(self._snapshots)
        assert found is not None
        return found[0]

    def finish(self, process: Process, count: int) -> None:
        # Where all was learned before a kill there is nothing to wait for but its start.
        process.until(lambda: "catalogue:" in process.output(), PATIENCE_S, "its start")
        process.until(lambda: self.learned() == count, PATIENCE_S, f"{count} labels in a snapshot")
        assert process.stop() == 0, process.tail()


def killed(run: Run, count: int, kills: int, chance: random.Random) -> list[int]:
    """Learn all, killed at random moments; returns how many labels were in the state at each kill."""
    moments = sorted(chance.randrange(count) for _ in range(kills))
    survived = []
    for moment in moments:
        with running(run.process()) as process:
            process.until(lambda at=moment: run.learned() >= at, PATIENCE_S, f"label {moment}")
            time.sleep(chance.random() * run.settings.snapshot_s)
            process.kill()
        survived.append(run.learned())
        click.echo(f"killed after label {moment:,}; {survived[-1]:,} in the snapshot", err=True)
    with running(run.process()) as process:
        run.finish(process, count)
    return survived


def counted(state: bytes, directory: Path, expected: Sequence[str]) -> tuple[int, int]:
    """How many labels the state lacks, and how many examples it has learned too many."""
    online = OnlineLearner(load_base(directory), no_text, UpdateSettings(), 0)
    online.restore(state)
    times = Counter(online.learned_ids())
    wrong = sum(1 for label_id in expected if times[label_id] != 1) + sum(times.values()) - len(expected)
    return wrong, online.examples_seen - len(expected)


def different(one: bytes, other: bytes) -> list[str]:
    """Names of the parts, of weights and of all else, in which two trainer states differ."""
    left, right = unpack(one), unpack(other)
    names = left.tensors.keys() | right.tensors.keys()
    apart = [name for name in names if not _same(left.tensors[name], right.tensors[name])]
    told = ("words", "touched", "ledger", "memory", "base")
    return apart + [name for name in told if getattr(left, name) != getattr(right, name)]


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are alike to the bit; NaN, which stands for what is not known yet, is itself."""
    raw, other_raw = (tensor.contiguous().flatten().view(torch.uint8) for tensor in (one, other))
    return one.shape == other.shape and torch.equal(raw, other_raw)


def no_text(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.zeros((len(texts), SHAPE.text_width), np.float32)


@contextmanager
def broker(kind: str, directory: Path) -> Iterator[str]:
    """The address of a broker of its own."""
    if kind == "embedded":
        with EmbeddedBroker() as embedded:
            yield embedded.address
        return
    server = KafkaServer(directory)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


def crash(kind: str, count: int, kills: int, seed: int, snapshot_s: float = 2.0) -> Iterator[Figure]:
    """Both learners over the same log, one after the other; snapshots are that far apart."""
    with ExitStack() as closing:
        home = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        for name in ("kafka", "killed", "undisturbed"):
            (home / name).mkdir()
        address = closing.enter_context(broker(kind, home / "kafka"))
        create_topics(Settings(broker=address, partitions=1))
        _send(address, count)
        past = [replace_id(label) for label in labels(2_000)]
        base = train_base([], past, no_text, DEFAULT_TEXT_ENCODER, SHAPE, BackfillSettings(epochs=1)).base
        for name in ("killed", "undisturbed"):
            save_base(base, home / name / "base")
        disturbed = Run(address, home / "killed", base.hash, snapshot_s)
        survived = killed(disturbed, count, kills, random.Random(seed))
        undisturbed = Run(address, home / "undisturbed", base.hash, snapshot_s)
        with running(undisturbed.process()) as process:
            undisturbed.finish(process, count)
        expected = [label.label_id for label in labels(count)]
        wrong, surplus = counted(disturbed.state(), home / "killed" / "base", expected)
        apart = different(disturbed.state(), undisturbed.state())
    what = f"{count:,} labels, {len(survived)} kills, {kind}"
    yield Figure(
        row="crash",
        what=f"labels not once in the weights: {what}",
        unit="",
        runs=[wrong],
        bar=0,
        at_most=True,
    )
    yield Figure(row="crash", what="examples learned too many", unit="", runs=[surplus], bar=0, at_most=True)
    note = ", ".join(sorted(apart)[:3])
    what = "tensors of the state that differ from the undisturbed run's"
    yield Figure(row="crash", what=what, unit="", runs=[len(apart)], bar=0, at_most=True, note=note)


def replace_id(label: LabeledSlate) -> LabeledSlate:
    """The same label of another slate: what the base learned is none of the stream's."""
    return codec.decode(LabeledSlate, codec.encode(label).replace(b'"request_id":"r', b'"request_id":"p'))


def _send(address: str, count: int) -> None:
    producer = connect_producer(Access(broker=address))
    for label in labels(count):
        producer.send(topics.LABELS.name, codec.encode(label), label.user_id.encode())
    producer.flush(PATIENCE_S)
    producer.close()


@click.command()
@click.option("--labels", "count", default=300_000, show_default=True, help=f"A multiple of {PUBLISHED:,}.")
@click.option("--kills", default=20, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--broker", "kind", type=click.Choice(["kafka", "embedded"]), default="kafka", show_default=True
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=ROOT / "build" / "bench-crash.json",
    show_default="build/bench-crash.json",
)
def main(count: int, kills: int, seed: int, kind: str, out: Path) -> None:
    """Kill a learner again and again, and compare it with one that was left alone."""
    torch.set_num_threads(1)
    before = machine()
    figures = list(crash(kind, count, kills, seed))
    write(out, before, figures)
    show(f"freshrank learner under SIGKILL, commit {before['commit']}", figures)


if __name__ == "__main__":
    main()
