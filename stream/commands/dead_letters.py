"""SHELL: `freshrank dead-letters`: the messages that nobody could use, read from their topic."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
from kafka import KafkaProducer
from kafka.errors import KafkaError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learner.connections import Message, connect_consumer, partitions_of, poll
from schemas.deadletters import DeadLetter
from schemas.errors import BrokerError
from schemas.topics import DEAD_LETTERS
from stream.commands.options import with_settings
from stream.deadletters import Refusal, original, refusal
from stream.inbound import Inbound
from stream.replay import open_producer
from stream.settings import Settings

SHOWN_BYTES = 2_000
POLL_MS = 1_000
SEND_S = 30.0

Choice = Callable[[Refusal], bool]
Found = tuple[Refusal, Message]


def with_choice(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose among the letters."""
    command = click.option("--topic", help="Only messages of this topic, without prefix.")(command)
    return click.option("--reason", help="Only messages refused for this reason.")(command)


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List, show and send again the messages that nobody could use.

    PLACE is where the refused message stood: topic/partition/offset, as `list` shows it.
    """


@dead_letters.command("list")
@with_choice
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Newest letters shown.")
@with_settings
def list_letters(settings: Settings, reason: str | None, topic: str | None, limit: int) -> None:
    """List the newest letters, and how many there are for each reason."""
    letters = list(_letters(settings, _chosen(reason, topic)))
    table = Table("place", "reason", "bytes", "detail", box=SIMPLE_HEAD)
    for entry, _ in letters[-limit:]:
        table.add_row(*map(escape, (entry.place, entry.reason, f"{entry.size:,}", entry.detail)))
    console = Console()
    console.print(table if letters else "No dead letter.")
    for name, count in Counter(entry.reason for entry, _ in letters).most_common():
        console.print(f"{escape(name)}: {count:,}")


@dead_letters.command()
@click.argument("place")
@with_settings
def show(settings: Settings, place: str) -> None:
    """Show one letter: its headers, and the refused bytes as text."""
    entry, message = _find(settings, [place])[0]
    table = Table("field", "value", show_header=False)
    table.add_row("key", escape(repr(message.key)))
    for name, value in message.headers:
        table.add_row(escape(name), escape((value or b"").decode(errors="backslashreplace")))
    text = (message.value or b"")[:SHOWN_BYTES].decode(errors="backslashreplace")
    table.add_row(f"value, {entry.size:,} bytes", escape(text))
    Console().print(table)


@dead_letters.command()
@click.argument("places", nargs=-1)
@with_choice
@click.option("--all", "everything", is_flag=True, help="Every letter.")
@with_settings
def replay(
    settings: Settings, places: Sequence[str], reason: str | None, topic: str | None, everything: bool
) -> None:
    """Send refused messages again to where they came from: those at PLACES, or those the options choose.

    What is still not understood is refused again, as a new letter; the old ones stay. A message that was
    understood meanwhile is known by its event id, and counts once.
    """
    if not (places or reason or topic or everything):
        raise click.UsageError("expected places, --reason, --topic or --all, got nothing")
    found = _find(settings, places) if places else list(_letters(settings, _chosen(reason, topic)))
    whole = [message for entry, letter in found if (message := _original(letter))]
    with open_producer(settings) as producer:
        _send(producer, settings.prefix, whole)
    click.echo(f"{len(whole):,} sent again; {len(found) - len(whole):,} were cut, and cannot be.")


def _chosen(reason: str | None, topic: str | None) -> Choice:
    return lambda entry: reason in (None, entry.reason) and topic in (None, entry.topic)


def _find(settings: Settings, places: Sequence[str]) -> list[Found]:
    found = {entry.place: (entry, message) for entry, message in _letters(settings, lambda _: True)}
    missing = [place for place in places if place not in found]
    if missing:
        raise click.ClickException(f"{', '.join(missing)}: no such letter; see `freshrank dead-letters list`")
    return [found[place] for place in places]


def _letters(settings: Settings, wanted: Choice) -> Iterator[Found]:
    """Every letter that was there when this began, oldest first."""
    for message in _messages(settings):
        entry = refusal(message.value or b"", dict(message.headers))
        if entry is not None and wanted(entry):
            yield entry, message


def _messages(settings: Settings) -> Iterator[Message]:
    consumer = connect_consumer(settings)
    try:
        partitions = partitions_of(consumer, settings.prefix + DEAD_LETTERS.name)
        consumer.assign(partitions)
        ends: dict[Any, int] = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for message in poll(consumer, POLL_MS):
                if message.offset < max(ends.values()):
                    yield message
    finally:
        consumer.close()


def _original(letter: Message) -> Inbound | None:
    headers = dict(letter.headers)
    return original(DeadLetter(letter.key, letter.value or b"", headers), letter.timestamp)


def _send(producer: KafkaProducer, prefix: str, messages: Sequence[Inbound]) -> None:
    try:
        for sent in [
            producer.send(prefix + it.topic, value=it.value, key=it.key, headers=list(it.headers.items()))
            for it in messages
        ]:
            sent.get(timeout=SEND_S)
    except KafkaError as error:
        raise BrokerError(f"dead letters: expected the broker to take them all, got {error!r}") from error
