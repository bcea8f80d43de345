"""SHELL: the same job in Bytewax: keyed by partition, a stateful step in batches, labels and sessions out."""

from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from tests.bench.stream import rival_fold


class Fold(StatefulBatchLogic[KafkaSourceMessage, KafkaSinkMessage, None]):
    """One partition's fold: labels leave as they are known, a session once a batch and user."""

    def __init__(self) -> None:
        self._folds = rival_fold.Folds()

    def on_batch(self, values: list[KafkaSourceMessage]) -> tuple[Iterable[KafkaSinkMessage], bool]:
        """Fold a batch."""
        told, users = [], set()
        for message in values:
            event, labels = self._folds.take(message.topic, message.partition, message.value)
            users.add(event.user_id)
            told += [_record(rival_fold.LABELS, *rival_fold.encoded(label)) for label in labels]
        told += [_record(rival_fold.SESSIONS, user.encode(), self._folds.session(user)) for user in users]
        return told, StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        """Nothing: recovery is not asked for."""


def _record(topic: str, key: bytes, value: bytes) -> KafkaSinkMessage[bytes, bytes]:
    return KafkaSinkMessage(key, value, topic=topic)


def _flow() -> Dataflow:
    flow = Dataflow("labels")
    brokers = [rival_fold.BROKER]
    read = kop.input("read", flow, brokers=brokers, topics=rival_fold.TOPICS)
    keyed: Any = op.key_on("partition", read.oks, lambda message: str(message.partition))
    told = op.stateful_batch("fold", keyed, lambda _: Fold())
    records = op.map("records", told, lambda pair: pair[1])
    kop.output("write", records, brokers=brokers, topic=rival_fold.LABELS)
    return flow


flow = _flow()
