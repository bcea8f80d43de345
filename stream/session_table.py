"""SHELL: session states in a Faust table: decoded in memory, written to the changelog once a batch."""

import logging
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, MutableMapping
from typing import Any

import msgspec

from schemas.codec import MAX_BYTES
from stream.expiry import Rounds
from stream.outbox import Outgoing
from stream.sessions import SessionState, erased

CAPACITY = 50_000
"""Decoded states kept in memory; the rest is decoded again from the table when its user comes back."""

log = logging.getLogger(__name__)


class _Age(msgspec.Struct, array_like=True, gc=False):
    """A state of which only `newest_ts` is read."""

    touches: msgspec.Raw
    slates: msgspec.Raw
    searches: msgspec.Raw
    settled: msgspec.Raw
    counts: msgspec.Raw
    settled_ts: msgspec.Raw
    leanings: msgspec.Raw
    newest_ts: int = 0


class SessionTable:
    """The sessions of all assigned partitions.

    States are mutated in memory and become durable with `write`, which must come before the commit of the
    offsets they reflect. `table` is a Faust table of raw bytes. What is to be sent to its changelog is
    returned, so that it leaves in one batch and not, as Faust would do it, message by message.
    """

    def __init__(self, table: Any, capacity: int = CAPACITY) -> None:
        self._table = table
        self._capacity = capacity
        self._states: OrderedDict[str, SessionState] = OrderedDict()
        self._rounds: Rounds[bytes] = Rounds()
        self._age = msgspec.msgpack.Decoder(_Age).decode
        self._decode = msgspec.msgpack.Decoder(SessionState).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def __len__(self) -> int:
        return len(self._states)

    def get(self, user_id: str) -> SessionState | None:
        """The user's state; None where nothing is known, or another worker knows it."""
        state = self._states.get(user_id)
        if state is None:
            raw = self._table.data.get(user_id.encode())
            if raw is None:
                return None
            state = self._states[user_id] = self._decode(raw)
        self._states.move_to_end(user_id)
        return state

    def put(self, user_id: str, state: SessionState) -> None:
        """Keep a state in memory."""
        self._states[user_id] = state

    @property
    def changelog(self) -> str:
        """The full name of the topic that a successor recovers the table from."""
        name: str = self._table.changelog_topic_name
        return name

    def write(self, user_ids: Iterable[str]) -> list[Outgoing]:
        """Put the states of these users into the table; returns what is to be sent to its changelog."""
        written = []
        for user_id in user_ids:
            state = self._states.get(user_id)
            if state is not None and _fits(raw := self._encode(state)):
                self._table.data[key := user_id.encode()] = raw
                written.append(Outgoing(key, raw))
        return written

    def trim(self, keep: Collection[str]) -> None:
        """Let go of the decoded states used longest ago, but not of these, which are to be written."""
        states = self._states
        while len(states) > self._capacity and (oldest := next(iter(states))) not in keep:
            del states[oldest]

    def erase(self, user_id: str, ts: int) -> Outgoing:
        """Erase what a user did before `ts`, also what is read only later; returns this for the changelog."""
        state = self._states[user_id] = erased(ts)
        self._table.data[key := user_id.encode()] = raw = self._encode(state)
        return Outgoing(key, raw)

    def forget(self, user_id: str) -> Outgoing:
        """Take a user out of memory and of the table; returns what takes them out of its changelog."""
        key = user_id.encode()
        self._states.pop(user_id, None)
        if self._table.data.get(key) is not None:
            del self._table.data[key]
        return Outgoing(key, None)

    def expire(self, safe_ts: int, number: int) -> list[Outgoing]:
        """Look at the next users, and forget those who are long gone; returns what erases them."""
        gone = self._rounds.expired(self._table.data, self._newest_ts, safe_ts, number)
        return [self.forget(key.decode()) for key in gone]

    def _newest_ts(self, key: bytes) -> int | None:
        state: SessionState | _Age | None = self._states.get(key.decode())
        if state is None and (raw := self._table.data.get(key)) is not None:
            state = self._age(raw)
        return None if state is None or state.newest_ts == 0 else state.newest_ts

    def clear(self) -> None:
        """Forget the decoded states; those that were not written are folded again from the log."""
        self._states.clear()


def _fits(raw: bytes) -> bool:
    if len(raw) > MAX_BYTES:
        log.error("sessions: state of %d bytes not kept, expected at most %d", len(raw), MAX_BYTES)
    return len(raw) <= MAX_BYTES


class SessionView(MutableMapping[str, SessionState]):
    """The table as the mapping that a fold expects."""

    def __init__(self, table: SessionTable) -> None:
        self._table = table

    def __getitem__(self, user_id: str) -> SessionState:
        state = self._table.get(user_id)
        if state is None:
            raise KeyError(user_id)
        return state

    def get(self, user_id: str, default: Any = None) -> Any:
        """The user's state; a mapping would come by it through an exception, for every new user."""
        state = self._table.get(user_id)
        return default if state is None else state

    def __setitem__(self, user_id: str, state: SessionState) -> None:
        self._table.put(user_id, state)

    def __delitem__(self, user_id: str) -> None:
        raise TypeError("sessions: a fold does not delete users; erasures do")

    def __iter__(self) -> Iterator[str]:
        raise TypeError("sessions: the users of a table are not listed")

    def __len__(self) -> int:
        return len(self._table)
