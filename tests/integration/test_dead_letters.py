"""`freshrank dead-letters` over a topic with letters in it."""

import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer

from learner.connections import Message, connect_consumer, partitions_of, poll
from schemas.codec import MAX_BYTES
from schemas.environment import to_env
from schemas.errors import InvalidRecord, Reason
from schemas.topics import CLICKS, DEAD_LETTERS
from stream.administration import create_topics
from stream.cli import main
from stream.deadletters import dead_letter
from stream.inbound import Inbound
from stream.replay import open_producer
from stream.settings import Settings

LETTERS = [
    (Inbound("clicks", 0, 7, b"ann", b'{"event_id": 1}', {"schema": b"9"}, 0), Reason.SCHEMA_UNSUPPORTED),
    (Inbound("clicks", 1, 3, b"bob", b"[bold]{", {}, 0), Reason.NOT_JSON),
    (Inbound("searches", 0, 4, b"cyd", b"x" * (MAX_BYTES + 1), {}, 0), Reason.TOO_LARGE),
]


@pytest.fixture
def settings(broker: str, prefix: str) -> Iterator[Settings]:
    settings = Settings(broker=broker, prefix=prefix, partitions=2)
    create_topics(settings)
    with open_producer(settings) as producer:
        _write_letters(producer, prefix)
    return settings


def _write_letters(producer: KafkaProducer, prefix: str) -> None:
    for message, reason in LETTERS:
        letter = dead_letter(message, InvalidRecord(reason, "for a test [not markup]"))
        value = letter.value[:100_000]
        sent = producer.send(prefix + DEAD_LETTERS.name, value, letter.key, list(letter.headers.items()))
        sent.get(timeout=10)
    producer.send(prefix + DEAD_LETTERS.name, b"a stranger's").get(timeout=10)


def run(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(main, ["dead-letters", *words], env={**to_env(settings), "COLUMNS": "120"})


def clicks(settings: Settings) -> list[Message]:
    consumer = connect_consumer(settings)
    try:
        consumer.assign(partitions_of(consumer, settings.prefix + CLICKS.name))
        consumer.seek_to_beginning()
        return poll(consumer, 60_000)
    finally:
        consumer.close()


def test_letters_are_listed_shown_and_sent_again(settings: Settings) -> None:
    listed = run(settings, "list")
    assert listed.exit_code == 0, listed.output
    for place in ("clicks/0/7", "clicks/1/3", "searches/0/4", "not_json: 1", "[not markup]"):
        assert place in listed.output
    assert "clicks/0/7" not in run(settings, "list", "--reason", "not_json").output
    assert "clicks" not in run(settings, "list", "--topic", "searches").output

    shown = run(settings, "show", "clicks/1/3")
    assert "[bold]{" in shown.output
    assert "bob" in shown.output

    before = time.time_ns() // 1_000_000
    sent = run(settings, "replay", "clicks/0/7", "searches/0/4")
    assert "1 sent again; 1 were cut" in sent.output, sent.output
    (again,) = clicks(settings)
    assert (again.key, again.value) == (b"ann", b'{"event_id": 1}')
    headers = dict(again.headers)
    assert headers.keys() == {"schema", "logged-at"}
    assert int(headers["logged-at"]) <= before


def test_what_is_not_there_is_said(settings: Settings) -> None:
    missing = run(settings, "show", "clicks/5/5")
    assert missing.exit_code == 1
    assert "clicks/5/5: no such letter" in missing.output
    assert run(settings, "replay").exit_code == 2
