"""What the labels ought to be: the same fold, undisturbed, over what the broker holds."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from learner.connections import Message, connect_consumer, partitions_of, poll
from schemas.codec import decode
from schemas.errors import InvalidRecord
from schemas.events import Item, UserEvent
from schemas.headers import schema_of
from schemas.labels import LabeledSlate, Session
from schemas.topics import DEAD_LETTERS, ITEMS, LABELS, USER_EVENTS
from stream.deadletters import Refusal, refusal
from stream.folding import PartitionFold
from stream.inbound import Inbound
from stream.join_settings import JoinSettings
from stream.label_report import kind_of
from stream.reading import read_event
from stream.settings import Settings
from tests.synthetic import topic_of

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
        # kafka-python forgets the socket of a fetch that is half sent when it is closed.
        consumer.pause(*consumer.assignment())
        consumer.poll(timeout_ms=10)
        consumer.close()


def labels_in_turn(settings: Settings) -> list[tuple[int, LabeledSlate]]:
    """Every label on the topic, as often as it was sent, with its partition; what is none is left out."""
    read = ((message.partition, _label(message)) for message in read_topic(settings, LABELS.name))
    return [(partition, label) for partition, label in read if label is not None]


def _label(message: Message) -> LabeledSlate | None:
    try:
        return decode(LabeledSlate, message.value or b"", schema_of(dict(message.headers)))
    except InvalidRecord:
        return None


def labels_sent(settings: Settings) -> dict[LabelKey, LabeledSlate]:
    """Every label on the topic. One that was sent again says the same, or this fails."""
    labels: dict[LabelKey, LabeledSlate] = {}
    for partition, label in labels_in_turn(settings):
        known = labels.setdefault((partition, label.label_id), label)
        assert _essence(known) == _essence(label), (
            f"{label.label_id} was sent twice, and differs:\n{known}\n{label}"
        )
    return labels


def refusals(settings: Settings) -> list[Refusal]:
    """What the dead letters say; what is none is left out."""
    messages = read_topic(settings, DEAD_LETTERS.name)
    found = (refusal(message.value or b"", dict(message.headers)) for message in messages)
    return [one for one in found if one is not None]


def labels_due(settings: Settings, join: JoinSettings) -> dict[LabelKey, LabeledSlate]:
    """The labels of an undisturbed fold over what is on the input topics; what cannot be read is left out.

    It is given each partition in order of event time: no label may go by the order of arrival.
    """
    happened: defaultdict[int, list[tuple[int, int, str, UserEvent]]] = defaultdict(list)
    for rank, topic in enumerate(USER_EVENTS):
        for message in read_topic(settings, topic.name):
            event = _event(topic.name, message)
            if event is not None:
                happened[message.partition].append((event.ts, rank, event.event_id, event))
    lengths = _lengths(settings)
    return {
        (partition, label.label_id): label
        for partition, events in happened.items()
        for label in _fold((event for *_, event in sorted(events, key=lambda it: it[:3])), join, lengths)
    }


def _lengths(settings: Settings) -> dict[str, float | None]:
    """How long the items of the catalogue are, in ms."""
    items = (_item(message) for message in read_topic(settings, ITEMS.name))
    return {item.item_id: item.duration_ms for item in items if item is not None}


def _item(message: Message) -> Item | None:
    try:
        return decode(Item, message.value or b"", schema_of(dict(message.headers)))
    except InvalidRecord:
        return None


def _event(topic: str, message: Message) -> UserEvent | None:
    headers = dict(message.headers)
    place = (topic, message.partition, message.offset)
    try:
        return read_event(Inbound(*place, message.key, message.value, headers, message.timestamp))
    except InvalidRecord:
        return None


def _fold(
    events: Iterable[UserEvent], join: JoinSettings, lengths: Mapping[str, float | None]
) -> list[LabeledSlate]:
    fold: PartitionFold[None] = PartitionFold(join, {}, lengths.get)
    labels: list[LabeledSlate] = []
    for event in events:
        labels += fold.fold(event, topic_of(event), None, 0)
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
    """A label without what depends on the order of arrival, which only labels of clicks have.

    A click is told at once, with what had arrived by then of its user and about trust in them; told again
    after a crash, more may have. All other revisions are told in their turn, and exact.
    """
    if kind_of(label) != "click":
        return label
    decided = [msgspec.structs.replace(outcome, trust=1.0) for outcome in label.outcomes]
    return msgspec.structs.replace(label, session=Session(), outcomes=decided)


def finals(labels: Iterable[LabeledSlate]) -> Counter[tuple[str, str]]:
    """How many final labels each exposure has: (request id, item id) → count, corrections left out."""
    return Counter(
        (label.request_id, outcome.item_id)
        for label in labels
        for outcome in label.outcomes
        if outcome.final and label.revision == 2 * len(label.slate)
    )
