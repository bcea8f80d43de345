"""SHELL: the topics of `schemas.topics`, made and looked at on a broker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, NamedTuple

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.access import Access, client_options
from schemas.errors import BrokerError
from schemas.topics import TOPICS, Topic
from stream.process import is_listening
from stream.settings import Settings

ANSWER_S = 10.0
MESSAGE_BYTES = "max.message.bytes"
"""The topic setting that bounds a message; a topic without it has the broker's `message.max.bytes`."""


class Status(StrEnum):
    """What was found of a topic."""

    CREATED = "created"
    EXISTING = "existing"
    MISSING = "missing"
    WRONG_PARTITIONS = "wrong partition count"


class TopicReport(NamedTuple):
    """A topic with its partitions on the broker (0: it is not there) and those it should have."""

    name: str
    partitions: int
    expected: int
    status: Status


def partitions_of(topic: Topic, settings: Settings) -> int:
    """PURE: return how many partitions a topic has: the co-partitioned ones the setting, all others one.

    One partition keeps one order: the chunks of a checkpoint before the manifest that commits them.
    """
    return settings.partitions if topic.co_partitioned else 1


def require_broker(access: Access) -> None:
    """Return if any of the addresses accepts connections.

    A Kafka client that finds nobody retries for long and leaves its sockets open; so look first.

    Raises:
        BrokerError: none does.
    """
    if not any(is_listening(*_host_port(address)) for address in access.broker.split(",")):
        raise BrokerError(f"{access.broker}: expected a Kafka broker, got no connection")


@contextmanager
def open_admin(access: Access) -> Iterator[KafkaAdminClient]:
    """Yield an administration client; its errors, and a broker that does not answer, become BrokerError."""
    require_broker(access)
    try:
        timeout_ms = int(ANSWER_S * 1000)
        with KafkaAdminClient(**client_options(access), bootstrap_timeout_ms=timeout_ms) as admin:
            yield admin
    except KafkaError as error:
        raise BrokerError(f"{access.broker}: expected an answer, got {error}") from error


def create_topics(settings: Settings) -> list[TopicReport]:
    """Make the topics that are missing; those that are there stay as they are, and are reported.

    Raises:
        BrokerError: the broker cannot be reached, or refuses.
    """
    with open_admin(settings) as admin:
        missing = [topic for topic, found in _found(admin, settings) if not found]
        if missing:
            _create(admin, missing, settings)
        made = {topic.name for topic in missing}
        return [
            _report(topic, found, settings, topic.name in made) for topic, found in _found(admin, settings)
        ]


def list_topics(settings: Settings) -> list[TopicReport]:
    """Return what the broker has of every topic.

    Raises:
        BrokerError: the broker cannot be reached.
    """
    with open_admin(settings) as admin:
        return [_report(topic, found, settings, False) for topic, found in _found(admin, settings)]


def message_bytes(settings: Settings) -> dict[str, int]:
    """Return topic name → largest message in bytes, of the topics that are there.

    Raises:
        BrokerError: the broker cannot be reached.
    """
    with open_admin(settings) as admin:
        names = [settings.prefix + topic.name for topic, found in _found(admin, settings) if found]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        configs = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: int(config[MESSAGE_BYTES]["value"]) for name, config in configs.items()}


def _create(admin: KafkaAdminClient, topics: Sequence[Topic], settings: Settings) -> None:
    wanted = {settings.prefix + topic.name: _specification(topic, settings) for topic in topics}
    with suppress(TopicAlreadyExistsError):  # somebody was faster; the broker has made the others
        admin.create_topics(wanted, timeout_ms=int(ANSWER_S * 1000))
    admin.wait_for_topics(list(wanted))


def _specification(topic: Topic, settings: Settings) -> dict[str, Any]:
    return {
        "num_partitions": partitions_of(topic, settings),
        "replication_factor": settings.replication,
        "configs": topic.config(settings.replication),
    }


def _found(admin: KafkaAdminClient, settings: Settings) -> list[tuple[Topic, int]]:
    """Return every topic with its number of partitions on the broker, 0 where it is not there."""
    there = set(admin.list_topics())
    names = [settings.prefix + topic.name for topic in TOPICS]
    # Only those that are there: asking for others may create them.
    known = [name for name in names if name in there]
    described = admin.describe_topics(known) if known else []
    counts = {found["name"]: len(found["partitions"]) for found in described}
    return [(topic, counts.get(name, 0)) for topic, name in zip(TOPICS, names, strict=True)]


def _report(topic: Topic, found: int, settings: Settings, made: bool) -> TopicReport:
    expected = partitions_of(topic, settings)
    if not found:
        status = Status.MISSING
    elif found != expected:
        status = Status.WRONG_PARTITIONS
    else:
        status = Status.CREATED if made else Status.EXISTING
    return TopicReport(settings.prefix + topic.name, found, expected, status)


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
