"""SHELL: what each partition's stream has taught its labels, in a Faust table: one record a partition."""

from typing import Any

from stream.outbox import Outgoing


class EvidenceTable:
    """Made durable before the offsets it lets go of are committed, and read when a partition is assigned."""

    def __init__(self, table: Any) -> None:
        """`table` is a Faust table of raw bytes."""
        self._table = table

    @property
    def changelog(self) -> str:
        """The full name of the topic that a successor recovers the table from."""
        name: str = self._table.changelog_topic_name
        return name

    def get(self, partition: int) -> bytes | None:
        """What was last put; None where nothing was."""
        raw: bytes | None = self._table.data.get(_key(partition))
        return raw

    def put(self, partition: int, raw: bytes) -> Outgoing:
        """Keep a partition's evidence; returns what is to be sent to that partition of the changelog."""
        self._table.data[_key(partition)] = raw
        return Outgoing(_key(partition), raw)


def _key(partition: int) -> bytes:
    return b"%d" % partition
