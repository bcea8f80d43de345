"""SHELL: vectors of texts by content hash in an SQLite file that does not outgrow its bound."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

KEPT_BYTES: Final = 2_000_000_000
"""So much stays on disk, which leaves room for snapshots on the 5 GB that a learner is deployed with: a
million vectors of the default encoder, two on a page of 4 kB, so a catalogue of half a million items, fifteen
times the default table, and as many searches; or, at some 20 kB each, the token states of 100,000 items."""

UNKEPT_BYTES: Final = 32_000_000
"""Of what a full disk does not take, so much stays in memory: a query comes again with every request."""

logger = logging.getLogger(__name__)

_CREATE = "CREATE TABLE IF NOT EXISTS vectors (hash BLOB PRIMARY KEY, vector BLOB NOT NULL)"
_FORGET = "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors ORDER BY rowid LIMIT ?)"
_RENEW = "UPDATE vectors SET rowid = 1 + (SELECT max(rowid) FROM vectors) WHERE hash = ?"
_MIDDLE = "SELECT ((SELECT min(rowid) FROM vectors) + (SELECT max(rowid) FROM vectors)) / 2"
_AT_ONCE = 100
"""Rows that go together: one at a time, every search of a full file would ask for its size again."""


class TextCache:
    """Vectors by hash, shared by processes; those that were not used for longest go when the file is full.

    Every search ever made would stay otherwise. Row numbers are the order of use: they only rise. SQLite
    is in its default journal mode: ranks that start together would refuse each other the change to another.
    """

    def __init__(self, directory: Path, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._unkept: dict[bytes, Vectors] = {}  # what the disk did not take
        directory.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(directory / "text.db", check_same_thread=False, timeout=30)
        self._db.execute(_CREATE)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors of those hashes that are kept."""
        found: dict[bytes, Vectors] = {}
        numbers: dict[bytes, int] = {}
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), 500):
            part = unique[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT hash, vector, rowid FROM vectors WHERE hash IN ({marks})"  # noqa: S608
            for key, blob, number in self._db.execute(query, part):
                found[key] = np.frombuffer(blob, dtype=np.float32)
                numbers[key] = number
        self._renew(numbers)
        return found | {key: self._unkept[key] for key in unique if key in self._unkept}

    def keep(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Write vectors; a full disk costs the next process the same work, and this one some memory."""
        rows = [(key, vector.tobytes()) for key, vector in vectors.items()]
        try:
            with self._db:
                self._db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
                self._make_room(len(rows))
        except sqlite3.OperationalError as error:
            logger.warning("text cache: %d vectors not kept: %s", len(rows), error)
            self._unkept = _newest({**self._unkept, **vectors}, UNKEPT_BYTES)

    def _make_room(self, came: int) -> None:
        """Forget the oldest where there is too much.

        Not many more than came: nobody waits until a file has shrunk that had grown without a bound.
        """
        for _ in range(2 + came // _AT_ONCE):
            if self._bytes() <= self._most_bytes:
                return
            self._db.execute(_FORGET, (_AT_ONCE,))

    def _renew(self, numbers: Mapping[bytes, int]) -> None:
        """Let those of these rows that are in the older half be the newest: a write only now and then.

        A file that is half empty is left alone: where all is in use, every read would be a write.
        """
        if not numbers or self._bytes() <= self._most_bytes / 2:
            return
        middle = self._number(_MIDDLE)
        old = [(key,) for key, number in numbers.items() if number <= middle]
        if old:
            with suppress(sqlite3.OperationalError), self._db:  # a full disk: they may go sooner
                self._db.executemany(_RENEW, old)

    def _bytes(self) -> int:
        """What of the file is in use: it does not shrink, but what is free is written anew."""
        pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._number("PRAGMA page_size")

    def _number(self, question: str) -> int:
        (number,) = self._db.execute(question).fetchone()
        return int(number or 0)


def _newest(vectors: dict[bytes, Vectors], most_bytes: int) -> dict[bytes, Vectors]:
    """PURE: the last of some vectors, as many as have room.

    >>> [*_newest({b"a": np.zeros(2, np.float32), b"b": np.ones(2, np.float32)}, 8)]
    [b'b']
    """
    totals = accumulate(vector.nbytes for vector in reversed(vectors.values()))
    room = sum(total <= most_bytes for total in totals)
    return dict(list(vectors.items())[len(vectors) - room :])
