"""A log directory, replayed into real brokers and read back."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, TopicPartition

from deploy.kafka.server import KafkaServer
from schemas.access import Access
from schemas.errors import BrokerError
from schemas.events import Click, Impression, Item, Search, ShownItem
from schemas.topics import CLICKS, IMPRESSIONS, ITEMS, SEARCHES
from stream.administration import create_topics, open_admin
from stream.cli import main
from stream.logs import read_events, write_log
from stream.replay import open_producer, replay
from stream.settings import Settings

USERS = 5
SHOWN = 40
OLD = 1_650_844_800_000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Slates of five users a second apart, each clicked half a second later, one search, one item."""
    shown = [ShownItem(item_id="x", position=0)]
    times = [(n, f"u{n % USERS}", OLD + 1000 * n) for n in range(SHOWN)]
    write_log(
        tmp_path / "log",
        "impressions",
        [
            Impression(event_id=f"i{n}", request_id=f"r{n}", user_id=user, ts=ts, items=shown)
            for n, user, ts in times
        ],
    )
    write_log(
        tmp_path / "log",
        "clicks",
        [
            Click(event_id=f"c{n}", request_id=f"r{n}", user_id=user, item_id="x", ts=ts + 500)
            for n, user, ts in times
        ],
        gz=True,
    )
    write_log(tmp_path / "log", "searches", [Search(event_id="s", user_id="u0", ts=OLD + 700, query="jazz")])
    write_log(tmp_path / "log", "items", [Item(item_id="x", ts=OLD, title="X")])
    return tmp_path / "log"


@pytest.fixture
def settings(broker: str, prefix: str) -> Iterator[Settings]:
    settings = Settings(broker=broker, prefix=prefix, partitions=3)
    create_topics(settings)
    yield settings
    with open_admin(Access(broker=broker)) as admin:
        admin.delete_topics([name for name in admin.list_topics() if name.startswith(prefix)])


def read_all(broker: str, topic: str) -> list[Any]:
    """Return every message of a topic, partition by partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False, group_id=None
    )
    try:
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        wanted = sum(consumer.end_offsets(partitions).values())
        messages: list[Any] = []
        deadline = time.monotonic() + 60
        while len(messages) < wanted:
            assert time.monotonic() < deadline, f"{len(messages)} of {wanted} messages of {topic}"
            for batch in consumer.poll(timeout_ms=500).values():
                messages.extend(batch)
        return sorted(messages, key=lambda message: (message.partition, message.offset))
    finally:
        consumer.close()


def test_every_record_arrives_under_its_key_with_the_time_it_was_logged(
    settings: Settings, log: Path
) -> None:
    before = int(time.time() * 1000)
    with open_producer(settings) as producer:
        sent = replay(read_events(log), producer, prefix=settings.prefix)
    assert sent.counts == {
        settings.prefix + IMPRESSIONS.name: SHOWN,
        settings.prefix + CLICKS.name: SHOWN,
        settings.prefix + SEARCHES.name: 1,
    }
    assert (sent.first_ts, sent.last_ts) == (OLD, OLD + 1000 * (SHOWN - 1) + 500)
    for message in read_all(settings.broker, settings.prefix + CLICKS.name):
        record = json.loads(message.value)
        assert message.key.decode() == record["user_id"]
        assert message.headers == [("logged-at", str(record["ts"]).encode())]
        assert message.timestamp >= before  # the wall clock: brokers delete by it


def test_the_events_of_a_user_keep_their_order_and_share_a_partition(settings: Settings, log: Path) -> None:
    with open_producer(settings) as producer:
        replay(read_events(log), producer, prefix=settings.prefix)
    homes: dict[str, set[int]] = {f"u{n}": set() for n in range(USERS)}
    stamps: dict[str, list[int]] = {user: [] for user in homes}
    for topic in (IMPRESSIONS, CLICKS):
        for message in read_all(settings.broker, settings.prefix + topic.name):
            homes[message.key.decode()].add(message.partition)
            if topic is CLICKS:
                stamps[message.key.decode()].append(json.loads(message.value)["ts"])
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert all(times == sorted(times) and len(times) == SHOWN // USERS for times in stamps.values())


def test_the_command_sends_items_and_events_between_two_times(settings: Settings, log: Path) -> None:
    until = OLD + 2000
    arguments = ["replay", str(log), "--broker", settings.broker, "--prefix", settings.prefix]
    shown = CliRunner().invoke(main, [*arguments, "--until-ts", str(until), "--speed", "100"])
    assert shown.exit_code == 0, shown.output
    assert "events: 5 in" in " ".join(shown.output.split())
    assert len(read_all(settings.broker, settings.prefix + ITEMS.name)) == 1
    assert len(read_all(settings.broker, settings.prefix + IMPRESSIONS.name)) == 2
    again = CliRunner().invoke(main, [*arguments, "--from-ts", str(until), "--rate", "100000"])
    assert again.exit_code == 0, again.output
    assert len(read_all(settings.broker, settings.prefix + IMPRESSIONS.name)) == SHOWN


def test_the_command_can_send_the_catalogue_alone(settings: Settings, log: Path) -> None:
    arguments = ["replay", str(log), "--broker", settings.broker, "--prefix", settings.prefix, "--items-only"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert len(read_all(settings.broker, settings.prefix + ITEMS.name)) == 1
    assert read_all(settings.broker, settings.prefix + IMPRESSIONS.name) == []


@pytest.mark.kafka  # the embedded broker makes every topic that it is asked for
def test_a_topic_that_is_not_there_is_an_error_and_is_not_made(
    real_kafka: KafkaServer, prefix: str, log: Path
) -> None:
    with (
        open_producer(Access(broker=real_kafka.address)) as producer,
        pytest.raises(BrokerError, match=f"{prefix}impressions: expected the broker to take the message"),
    ):
        replay(read_events(log), producer, prefix=prefix)
    with open_admin(Access(broker=real_kafka.address)) as admin:
        assert not [name for name in admin.list_topics() if name.startswith(prefix)]


def test_rate_and_speed_exclude_each_other(log: Path) -> None:
    shown = CliRunner().invoke(main, ["replay", str(log), "--rate", "1", "--speed", "1"])
    assert shown.exit_code == 2
    assert "exclude each other" in shown.output
