"""SHELL: the same job as Faust's documentation would have it: typed topics, agents, a table write per event.

The yardstick of `make bench-stream`, and of the test that both versions tell the same labels. It folds with
the same pure code. Its offsets are acknowledged event by event: what is open is lost in a crash.

    faust -A tests.bench.stream.idiomatic worker
"""

import os
import time
from collections import defaultdict
from typing import Any

import faust
import msgspec
from faust.serializers.codecs import Codec

from schemas.codec import decode, encode
from schemas.record import Record
from schemas.topics import LABELS, USER_EVENTS
from stream.engine import data_dir
from stream.folding import PartitionFold
from stream.inbound import Inbound
from stream.partition import Partition
from stream.progress import Progress
from stream.sessions import SessionState
from stream.settings import Settings

TICK_S = 0.1


class RecordCodec(Codec):
    """A typed topic's codec: bytes of JSON ↔ one kind of record."""

    def __init__(self, record: type[Record]) -> None:
        self._record = record
        super().__init__()

    def _loads(self, s: bytes) -> Record:
        return decode(self._record, s)

    def _dumps(self, obj: Record) -> bytes:
        return encode(obj)


def create_app(settings: Settings) -> faust.App:
    """Assemble the worker."""
    data_dir(settings).mkdir(parents=True, exist_ok=True)
    app = faust.App(
        settings.group,
        broker=f"kafka://{settings.broker}",
        store="memory://",
        datadir=data_dir(settings),
        web_port=settings.web_port,
        consumer_auto_offset_reset="earliest",
        topic_partitions=settings.partitions,
        topic_disable_leader=True,
        stream_wait_empty=False,
    )
    states: dict[str, SessionState] = {}
    folds = defaultdict(lambda: Partition(PartitionFold(settings.join, states, lambda _: None)))
    sessions = app.Table("sessions", key_type=bytes, value_type=bytes, partitions=settings.partitions)
    labels = app.topic(settings.prefix + LABELS.name, key_type=bytes, value_serializer=RecordCodec(Record))
    progress = Progress(app, settings.prefix)
    for topic in USER_EVENTS:
        assert topic.record is not None
        _agent(app, settings.prefix, topic.name, topic.record, folds, states, sessions, labels)

    @app.timer(TICK_S)
    async def advance() -> None:
        if not progress.is_settled():
            return
        await progress.locate([topic.name for topic in USER_EVENTS], folds)
        for number, partition in folds.items():
            positions = {topic.name: partition.position(topic.name) for topic in USER_EVENTS}
            behind = progress.behind(number, positions)
            unread = [topic for topic, messages in behind.items() if messages is None or messages > 0]
            for label in partition.advance(_now_ms(), unread):
                await labels.send(key=label.user_id.encode(), value=label)
            partition.take_evidence()

    return app


def _agent(
    app: faust.App,
    prefix: str,
    name: str,
    record: type[Record],
    folds: dict[int, Partition],
    states: dict[str, SessionState],
    sessions: Any,
    labels: Any,
) -> None:
    topic = app.topic(prefix + name, key_type=bytes, value_serializer=RecordCodec(record))

    async def label(stream: Any) -> None:
        async for event in stream.events():
            message, value = event.message, event.value
            logged = int(message.timestamp * 1000)
            place = Inbound(name, message.partition, message.offset, message.key, None, {}, logged)
            partition = folds[message.partition]
            for told in partition.take(value, place, _now_ms()):
                await labels.send(key=told.user_id.encode(), value=told)
            partition.release()
            sessions[value.user_id.encode()] = msgspec.msgpack.encode(states[value.user_id])

    app.agent(topic, name=name)(label)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = app = create_app(Settings.from_env(os.environ))
    return app
