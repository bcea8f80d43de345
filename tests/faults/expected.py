"""What the labels ought to be: the same fold, undisturbed, over what the broker holds."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from learner.connections import Message, connect_consumer, partitions_of, poll
from schemas.codec import decode
from schemas.errors import InvalidRecord
from schemas.labels import LabeledSlate
from schemas.topics import LABELS, USER_EVENTS
from stream.folding import PartitionFold
from stream.inbound import Inbound
from stream.join_settings import JoinSettings
from stream.label_report import kind_of
from stream.reading import read_event
from stream.settings import Settings

LabelKey = tuple[int, str]
"""Partition and label id."""


def read_topic(settings: Settings, topic: str) -> list[Message]:
    """Every message of a topic that was there when this began."""
    consumer = connect_consumer(settings)
    try:
        partitions = partitions_of(consumer, settings.prefix + topic)
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[Message] = []
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            found += poll(consumer, 1_000)
        return found
    finally:
        consumer.close()


def labels_sent(settings: Settings) -> dict[LabelKey, LabeledSlate]:
    """Every label on the topic. One that was sent again says the same, or this fails."""
    labels: dict[LabelKey, LabeledSlate] = {}
    for message in read_topic(settings, LABELS.name):
        assert message.value is not None
        label = decode(LabeledSlate, message.value)
        known = labels.setdefault((message.partition, label.label_id), label)
        assert _essence(known) == _essence(label), (
            f"{label.label_id} was sent twice, and differs:\n{known}\n{label}"
        )
    return labels


def labels_due(settings: Settings, join: JoinSettings) -> dict[LabelKey, LabeledSlate]:
    """The labels of an undisturbed fold over what is on the input topics; what cannot be read is left out."""
    arrived: defaultdict[int, list[tuple[int, int, Inbound]]] = defaultdict(list)
    for topic in USER_EVENTS:
        for message in read_topic(settings, topic.name):
            inbound = Inbound(
                topic.name,
                message.partition,
                message.offset,
                message.key,
                message.value,
                dict(message.headers),
                message.timestamp,
            )
            arrived[message.partition].append((message.timestamp, message.offset, inbound))
    return {
        (partition, label.label_id): label
        for partition, messages in arrived.items()
        for label in _fold((message for *_, message in sorted(messages, key=lambda it: it[:2])), join)
    }


def _fold(messages: Iterable[Inbound], join: JoinSettings) -> list[LabeledSlate]:
    fold: PartitionFold[None] = PartitionFold(join, {}, lambda _: None)
    labels: list[LabeledSlate] = []
    for message in messages:
        try:
            event = read_event(message)
        except InvalidRecord:
            continue
        labels += fold.fold(event, message.topic, None, 0)
        labels += fold.advance(0)
    return labels + fold.drain()


def assert_same(sent: Mapping[LabelKey, LabeledSlate], due: Mapping[LabelKey, LabeledSlate]) -> None:
    """Compare by id, then by content; says how many are missing, and shows the first that differs."""
    missing, unasked = due.keys() - sent.keys(), sent.keys() - due.keys()
    assert not missing, f"{len(missing)} of {len(due)} labels are missing, among them {sorted(missing)[:3]}"
    assert not unasked, f"{len(unasked)} labels nobody should have sent, among them {sorted(unasked)[:3]}"
    differing = [key for key in due if _essence(due[key]) != _essence(sent[key])]
    assert not differing, f"{len(differing)} of {len(due)} differ:\n{due[differing[0]]}\n{sent[differing[0]]}"


def _essence(label: LabeledSlate) -> LabeledSlate:
    """A label without what depends on the order of arrival.

    A click is told at once, with what had arrived of its user by then; told again after a crash, more may
    have. All other revisions are told in their turn, and exact.
    """
    if kind_of(label) != "click":
        return label
    return msgspec.structs.replace(
        label, session=msgspec.structs.replace(label.session, recent=[], counters={}, query=None)
    )


def finals(labels: Iterable[LabeledSlate]) -> Counter[tuple[str, str]]:
    """How many final labels each exposure has: (request id, item id) → count, corrections left out."""
    return Counter(
        (label.request_id, outcome.item_id)
        for label in labels
        for outcome in label.outcomes
        if outcome.final and label.revision == 2 * len(label.slate)
    )
