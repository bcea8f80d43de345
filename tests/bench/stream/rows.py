"""SHELL: the rows of `make bench-stream`: each a function that measures and returns its figures."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from schemas.codec import decode
from schemas.events import Click, Dwell
from schemas.topics import LABELS
from schemas.trace import HEADER, Trace
from stream import sessions
from stream.administration import open_admin
from stream.join_settings import JoinSettings
from stream.settings import Settings
from tests.bench.report import Figure
from tests.bench.stream import job
from tests.bench.stream.feed import fill, pace
from tests.bench.stream.job import FAUST, IDIOMATIC, Point, Rate
from tests.bench.stream.traffic import Traffic, messages

RIVALS: Final = Path("build/rivals/bin/python")
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "ours": FAUST,
    "idiomatic Faust": IDIOMATIC,
    "Quix Streams": (str(RIVALS.absolute()), "-m", "tests.bench.stream.in_quix"),
    "Bytewax": (str(RIVALS.absolute()), "-m", "bytewax.run", "tests.bench.stream.in_bytewax:flow"),
}
BAR: Final = 20_000.0
HALF_LOAD: Final = 6_500.0
"""Half of what one worker sustained on two cores of 2.6 GHz."""
WINDOWS: Final = f"windows of {job.WINDOW_S:g} s"
LIMIT_S: Final = 540.0
SETTLE_S: Final = 5.0
LOOP_RATE: Final = 1_000
RECENT: Final = 50


@dataclass(frozen=True, kw_only=True)
class Log:
    """A log to drain: its event time whatever its size, messages of a user, and the label window."""

    span_s: float
    per_user: int
    window_s: float


BURST: Final = Log(span_s=55.0, per_user=22, window_s=job.WINDOW_S)
"""Windows fill and close all through a run."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where to measure, and how much: `share` of the full sizes, `repeats` of every pair."""

    broker: str
    home: Path
    share: float = 1.0
    repeats: int = 3


def throughput(bench: Bench) -> Iterator[Figure]:
    """Messages a second of one worker, in pairs with the same job in other frameworks."""
    sizes = {"ours": 1_112_000, "idiomatic Faust": 60_000, "Quix Streams": 300_000, "Bytewax": 300_000}
    runs: dict[str, list[Rate]] = {name: [] for name in sizes}
    for _ in range(bench.repeats):
        for name, size in sizes.items():
            runs[name].append(_drained(bench, int(size * bench.share), [COMMANDS[name]])[0])
    for name, rates in runs.items():
        bar = BAR if name == "ours" else None
        wall = [rate.wall for rate in rates]
        yield Figure(row="throughput", what=name, unit="messages/s", runs=wall, bar=bar, note=WINDOWS)
        yield Figure(row="throughput", what=name, unit="messages/CPU-s", runs=[r.cpu for r in rates])
    for name, bar in (("idiomatic Faust", 10.0), ("Quix Streams", 1.0), ("Bytewax", 1.0)):
        for unit in Rate._fields:
            pairs = [
                getattr(own, unit) / getattr(other, unit)
                for own, other in zip(runs["ours"], runs[name], strict=True)
            ]
            held = bar if unit == "wall" else None
            yield Figure(row="throughput", what=f"ours / {name}", unit=f"× ({unit})", runs=pairs, bar=held)


def two_workers(bench: Bench) -> Iterator[Figure]:
    """Two workers on two cores, which they share with the broker, against one."""
    size, pairs = int(600_000 * bench.share), []
    for _ in range(bench.repeats):
        one = _drained(bench, size, [FAUST])[0]
        two = _drained(bench, size, [FAUST, FAUST])[0]
        pairs.append(two.wall / one.wall)
    yield Figure(row="workers", what="two on two cores / one", unit="×", runs=pairs, bar=1.6)


def label_latency(bench: Bench) -> Iterator[Figure]:
    """From an event's arrival to its label's, by the broker's clock: at half of the bar and of its rate."""
    for rate in (BAR / 2, HALF_LOAD):
        took = _taken(bench, rate)
        p50, p99 = np.percentile(took, [50, 99]).tolist()
        what, note = f"event → label at {rate:,.0f} messages/s", f"{len(took):,} labels"
        yield Figure(row="latency", what=f"{what}, p50", unit="ms", runs=[p50], note=note)
        yield Figure(row="latency", what=f"{what}, p99", unit="ms", runs=[p99], bar=150.0, at_most=True)


def _taken(bench: Bench, rate: float) -> list[int]:
    """Milliseconds from event to label, at so many messages a second."""
    settings = job.fresh_settings(bench.broker, bench.home, partitions=4)
    _stamp_on_arrival(settings)
    worker = job.worker(settings, bench.home / f"{settings.group}.log")
    try:
        start_ts = _now_ms()
        fill(bench.broker, settings.prefix, 4, messages(Traffic(400, 1000.0, start_ts)))
        worker.start()
        with job.label_count(settings) as length:
            worker.wait_until(lambda: length() > 0, "labels", job.START_S)
            start_ts = _now_ms() + 1_000
            sent = int(max(10.0, 60 * bench.share) * rate)
            pace(bench.broker, settings.prefix, messages(Traffic(sent, rate, start_ts, seed=1)), start_ts)
            time.sleep(SETTLE_S)
        return _latencies(settings, start_ts)
    finally:
        worker.stop()


def memory(bench: Bench) -> Iterator[Figure]:
    """Growth of the worker's memory from the second quarter on, by when all that it keeps is full.

    Windows are after minutes, and sessions, which show fifty items, after a quarter of an hour: users do
    something every fourteen seconds for two hours.
    """
    size = int(2_000_000 * bench.share)
    _, points = _drained(bench, size, [FAUST], Log(span_s=7_200.0, per_user=533, window_s=120.0))
    quarter = points[-1].labels / 4
    early = [p.memory for p in points if quarter <= p.labels < 2 * quarter]
    late = [p.memory for p in points if p.labels >= 3 * quarter]
    growth = float(np.median(late) / np.median(early))
    resident = [p.memory / 2**20 for p in points[:: max(1, len(points) // 40)]]
    yield Figure(row="memory", what="resident", unit="MiB", runs=resident)
    yield Figure(
        row="memory",
        what="last quarter / second",
        unit="×",
        runs=[growth],
        bar=1.1,
        at_most=True,
        note="windows and sessions full in both",
    )


def state_size(bench: Bench) -> Iterator[Figure]:
    """Bytes of a user's stored session with fifty recent items: clicked, and clicked and stayed with."""
    for what, dwells in (("50 items clicked", False), ("50 items clicked and stayed with", True)):
        size = len(msgspec.msgpack.encode(_session(dwells)))
        yield Figure(row="state", what=what, unit="bytes", runs=[size], bar=2_000, at_most=True)


def _session(dwells: bool) -> sessions.SessionState:
    """PURE: one item a minute; the last twenty minutes may still change."""
    state = sessions.SessionState()
    for number in range(RECENT):
        ts = 1_700_000_000_000 + number * 60_000
        of = {"request_id": f"request-{number // 2}", "user_id": "user-1", "item_id": f"item-{number * 37}"}
        sessions.fold(
            state, Click(event_id=f"c{number}", ts=ts, **of), settle_before=ts - JoinSettings().horizon_ms
        )
        if dwells:
            sessions.fold(state, Dwell(event_id=f"d{number}", ts=ts + 10_000, dwell_ms=7_654.3, **of))
    return state


def freshness(bench: Bench) -> Iterator[Figure]:
    """From a click to an answer by a model that learned it: the demo's loop, at 1,000 events/s, all cores."""
    out = bench.home / "demo"
    run = [sys.executable, "-c", "from stream.cli import main; main()"]
    command = [*job.EVERY_CORE, *run, "demo", "--out", str(out), "--rate", str(LOOP_RATE)]
    subprocess.run(command, check=True, cwd=job.ROOT, timeout=900, stdout=subprocess.DEVNULL)
    found = msgspec.json.decode((out / "report.json").read_bytes())
    for name, bar in (("p50", 1.0), ("p99", 2.4)):
        took = [found["freshness_s"][name]]
        yield Figure(
            row="freshness", what=f"click → served, {name}", unit="s", runs=took, bar=bar, at_most=True
        )
    for stage, quantiles in found["stages_s"].items():
        yield Figure(row="freshness", what=f"  {stage}, p50", unit="s", runs=[quantiles["p50"]])


ROWS: Final[Mapping[str, Callable[[Bench], Iterator[Figure]]]] = {
    "throughput": throughput,
    "workers": two_workers,
    "latency": label_latency,
    "memory": memory,
    "state": state_size,
    "freshness": freshness,
}


def _drained(
    bench: Bench, size: int, commands: Sequence[Sequence[str]], log: Log = BURST
) -> tuple[Rate, list[Point]]:
    """Fill topics, drain them by as many workers as commands, each on a core; remove the topics."""
    settings = job.fresh_settings(bench.broker, bench.home, partitions=4, window_s=log.window_s)
    with _topics(settings):
        began = _now_ms() - int(log.span_s * 1000)
        traffic = Traffic(size, size / log.span_s, began, users=size // log.per_user)
        sent = fill(bench.broker, settings.prefix, 4, messages(traffic))
        workers = [
            job.worker(
                job.beside(settings, number), bench.home / f"{settings.group}-{number}.log", number, command
            )
            for number, command in enumerate(commands)
        ]
        points = job.drain(settings, workers, LIMIT_S)
    return job.sustained(points, sent), points


@contextmanager
def _topics(settings: Settings) -> Iterator[None]:
    """Remove a run's topics when it is over: labels are many."""
    with open_admin(settings) as admin:
        admin.create_topics(
            {
                f"{settings.prefix}rival-sessions": {
                    "num_partitions": 4,
                    "replication_factor": 1,
                    "configs": {},
                }
            }
        )
    try:
        yield
    finally:
        with open_admin(settings) as admin:
            admin.delete_topics([name for name in admin.list_topics() if name.startswith(settings.group)])


def _stamp_on_arrival(settings: Settings) -> None:
    """Have the broker stamp events and labels when they arrive."""
    names = [settings.prefix + name for name in ("impressions", "clicks", "dwells", LABELS.name)]
    stamped = {"message.timestamp.type": "LogAppendTime"}
    with open_admin(settings) as admin:
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, configs=stamped) for name in names]
        )


def _latencies(settings: Settings, since_ms: int) -> list[int]:
    """Milliseconds between an event's arrival and its label's, of labels that an event caused."""
    consumer = KafkaConsumer(bootstrap_servers=settings.broker, enable_auto_commit=False)
    partitions = [TopicPartition(settings.prefix + LABELS.name, number) for number in range(4)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends, took = consumer.end_offsets(partitions), []
    while any(consumer.position(tp) < ends[tp] for tp in partitions):
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                trace = decode(Trace, dict(record.headers)[HEADER])
                if trace.event is not None and trace.event >= since_ms + SETTLE_S * 1000:
                    took.append(record.timestamp - trace.event)
    consumer.close()
    return took


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
