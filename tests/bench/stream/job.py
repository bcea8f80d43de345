"""SHELL: one run of one implementation of the job: topics filled, processes pinned, its labels counted."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from kafka import KafkaConsumer, TopicPartition

from schemas.topics import LABELS
from stream.administration import create_topics
from stream.process import ChildProcess, free_port
from stream.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[3]
WORKER_CORE, OTHER_CORE = 0, 1
EVERY_CORE: Final = ("taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0)))))
"""Before a command: it inherits the one core of this process otherwise."""

LOOK_S: Final = 0.25
QUIET_S: Final = 20.0
"""Without another label for so long, a run is over."""

START_S: Final = 90.0
EDGE: Final = 0.05
"""Share of the labels left out at either end of a measurement."""

WINDOW_S, LATENESS_S = 10.0, 1.0
"""Short, so that slates close and are forgotten as fast as they come, all through a run."""

FAUST: Final = ("-m", "faust", "-A", "stream", "worker", "-l", "warn")
IDIOMATIC: Final = ("-m", "faust", "-A", "tests.bench.stream.idiomatic", "worker", "-l", "warn")


class Point(NamedTuple):
    """Labels on the topic, and the workers' CPU time (s) and resident memory (bytes), at a moment (s)."""

    second: float
    labels: int
    cpu: float = 0.0
    memory: int = 0


class Rate(NamedTuple):
    """Messages a second, and a second of the workers' CPU time, which other processes disturb less."""

    wall: float
    cpu: float


def fresh_settings(broker: str, home: Path, partitions: int, window_s: float = WINDOW_S) -> Settings:
    """Settings of a run with topics of its own, made on the broker."""
    name = f"b{uuid.uuid4().hex[:8]}"
    settings = Settings(
        broker=broker,
        prefix=f"{name}.",
        group=name,
        state_dir=str(home / name),
        web_port=free_port(),
        partitions=partitions,
        window_s=window_s,
        lateness_s=LATENESS_S,
        roles=("label",),
    )
    create_topics(settings)
    return settings


def worker(
    settings: Settings, log: Path, core: int | None = WORKER_CORE, command: Sequence[str] = FAUST
) -> ChildProcess:
    """A worker on one core, not yet started; by default ours, with this interpreter."""
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    interpreter = [] if Path(command[0]).is_absolute() else [sys.executable]
    environment = {**settings.to_env(), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return ChildProcess([*pinned, *interpreter, *command], log, environment)


def beside(settings: Settings, number: int) -> Settings:
    """The settings of another worker of the same group on this machine."""
    return replace(settings, state_dir=f"{settings.state_dir}-{number}", web_port=free_port())


def drain(settings: Settings, workers: Sequence[ChildProcess], limit_s: float) -> list[Point]:
    """Start workers and watch the labels grow until they stop; ends the workers.

    Raises:
        ProcessError: a worker ended by itself.
    """
    points: list[Point] = []
    with ExitStack() as stack:
        length = stack.enter_context(label_count(settings))
        for one in workers:
            one.start()
            stack.callback(one.stop)
        began, grew = time.monotonic(), time.monotonic() + START_S
        while time.monotonic() - began < limit_s and time.monotonic() < grew:
            for one in workers:
                one.check()
            labels = length()
            if labels and (not points or labels > points[-1].labels):
                grew = time.monotonic() + QUIET_S
                points.append(Point(time.monotonic() - began, labels, *_costs(workers)))
            time.sleep(LOOK_S)
    return points


def sustained(points: Sequence[Point], messages: int) -> Rate:
    """PURE: how fast messages were taken, between the first and the last twentieth of the labels.

    >>> sustained([Point(n / 10, n, n / 20) for n in range(1, 101)], 1_000)
    Rate(wall=100.0, cpu=200.0)
    """
    last = points[-1].labels
    begin, end = _at(points, EDGE * last), _at(points, (1 - EDGE) * last)
    taken = messages * (1 - 2 * EDGE)
    return Rate(taken / (end.second - begin.second), taken / (end.cpu - begin.cpu))


def _at(points: Sequence[Point], labels: float) -> Point:
    """The moment of so many labels, between two looks."""
    before = points[0]
    for point in points:
        if point.labels >= labels:
            share = (labels - before.labels) / max(1, point.labels - before.labels)
            second = before.second + share * (point.second - before.second)
            return Point(second, round(labels), before.cpu + share * (point.cpu - before.cpu), point.memory)
        before = point
    return before


class label_count:  # noqa: N801 - reads like a function
    """How many labels are on the topic, by the ends of its log."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = [
            TopicPartition(settings.prefix + LABELS.name, number) for number in range(settings.partitions)
        ]
        self._consumer = KafkaConsumer(bootstrap_servers=settings.broker, allow_auto_create_topics=False)

    def __enter__(self) -> Callable[[], int]:
        return lambda: sum(self._consumer.end_offsets(self._partitions).values())

    def __exit__(self, *_: object) -> None:
        self._consumer.close(timeout_ms=1_000)


def _costs(workers: Sequence[ChildProcess]) -> tuple[float, int]:
    processes = [psutil.Process(one.pid) for one in workers if one.pid]
    cpu = sum(process.cpu_times().user + process.cpu_times().system for process in processes)
    return cpu, sum(process.memory_info().rss for process in processes)


def stay_on(core: int) -> None:
    """Keep this process, and what it starts from now on, on one core."""
    os.sched_setaffinity(0, {core})
