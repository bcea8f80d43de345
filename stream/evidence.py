"""PURE: what a partition's stream has taught its labels so far, by epochs, so that restarts do not show.

An epoch is a span of event time. What is learned of a slate belongs to the epoch of its impression. Once
every slate of an epoch is final, corrections included, the epoch is *sealed*: the estimates as they are then
become what labels use, from a horizon after the epoch's end on. A successor that restores the last seals,
and is given again every message since the newest of them, gives the same labels.

Seals are handed over in one record, so they are packed, and of more than fit the newest are.
"""

import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

RECORD_BYTES = 900_000
"""Seals that are handed over take no more: Kafka takes records up to 1 MB.

There are usually four. More come between two commits of a hurried catch-up; then it is the oldest that are
left out, which a successor would ask for only if the second of those commits failed.
"""

_SPEED = 1  # of zlib: a third of the size, at 100 MB/s
_HEAD_BYTES = 32  # of a packed seal, beside its state


class Learned(Protocol):
    """Estimates that a stream teaches."""

    def snapshot(self) -> dict[str, Any]:
        """Return all that was learned, as msgspec-encodable builtins."""

    def restore(self, state: dict[str, Any], /) -> None:
        """Go on from a snapshot."""


E = TypeVar("E", bound=Learned)


class Seal(msgspec.Struct, frozen=True, dict=True):
    """The estimates at the end of an epoch, as msgpack, and the event time from which labels use them."""

    epoch: int
    effective_ts: int
    state: bytes

    @cached_property
    def packed(self) -> bytes:
        """The state as it is handed over; packed once, although it is handed over several times."""
        return zlib.compress(self.state, _SPEED)


class _Packed(NamedTuple):
    epoch: int
    effective_ts: int
    state: bytes


class _Handed(msgspec.Struct, array_like=True):
    """What a successor is given; `is_cut` where older seals were left out."""

    is_cut: bool
    seals: list[_Packed]
    safe_ts: int = 0


def pack(seals: Sequence[Seal], safe_ts: int = 0) -> bytes:
    """Return as many of the newest seals as a record holds, and the newest in any case.

    >>> seals = [Seal(epoch, epoch, bytes(9)) for epoch in range(3)]
    >>> is_cut, unpacked, safe_ts = unpack(pack(seals, 5))
    >>> is_cut, unpacked == seals, safe_ts
    (False, True, 5)
    """
    kept: list[_Packed] = []
    size = 0
    for seal in reversed(seals):
        size += len(seal.packed) + _HEAD_BYTES
        if kept and size > RECORD_BYTES:
            break
        kept.append(_Packed(seal.epoch, seal.effective_ts, seal.packed))
    return msgspec.msgpack.encode(_Handed(len(kept) < len(seals), kept[::-1], safe_ts))


def unpack(raw: bytes) -> tuple[bool, list[Seal], int]:
    """Return whether older seals were left out, those that were packed, the oldest first, and `safe_ts`."""
    handed = msgspec.msgpack.decode(raw, type=_Handed)
    seals = [Seal(one.epoch, one.effective_ts, zlib.decompress(one.state)) for one in handed.seals]
    return handed.is_cut, seals, handed.safe_ts


class _Visible(NamedTuple, Generic[E]):
    effective_ts: int
    estimates: E


class Evidence(Generic[E]):
    """The estimates that labels may use at a moment, and those that are growing.

    Fold what epochs teach in order, and `seal` them in order; an epoch without slates needs no seal.

    >>> class Sum:
    ...     total = 0
    ...     def snapshot(self): return {"total": self.total}
    ...     def restore(self, state): self.total = state["total"]
    >>> evidence = Evidence(Sum, epoch_ms=100, horizon_ms=50)
    >>> evidence.growing(ts=20).total += 5
    >>> evidence.seal(0)
    >>> evidence.at(149).total, evidence.at(150).total, evidence.growing(ts=20)
    (0, 5, None)
    """

    def __init__(self, kind: type[E], epoch_ms: int, horizon_ms: int) -> None:
        """`horizon_ms` after an epoch's end its seal takes effect, when it was surely made."""
        self._kind = kind
        self._epoch_ms = epoch_ms
        self._horizon_ms = horizon_ms
        self._growing = kind()
        self._sealed = -1
        self._seals: list[Seal] = []
        self._visible: list[_Visible[E]] = [_Visible(-(2**62), kind())]
        self._from_ts = 0
        self._untaken = False

    def epoch(self, ts: int) -> int:
        """The epoch of an impression."""
        return ts // self._epoch_ms

    def end(self, epoch: int) -> int:
        """The first event time after an epoch."""
        return (epoch + 1) * self._epoch_ms

    def is_sealed(self, ts: int) -> bool:
        """Whether the epoch of an impression teaches nothing any more."""
        return ts // self._epoch_ms <= self._sealed

    def growing(self, ts: int) -> E | None:
        """Return the estimates that the epoch of `ts` may still teach; None where it is sealed."""
        return None if self.is_sealed(ts) else self._growing

    def at(self, ts: int) -> E:
        """Return the newest estimates that were in effect at event time `ts`."""
        newest = self._visible[-1]
        if ts >= newest.effective_ts:
            return newest.estimates
        known = (seal for seal in reversed(self._visible) if seal.effective_ts <= ts)
        return next(known, self._visible[0]).estimates

    def seal(self, epoch: int) -> None:
        """Let labels use all that was learned until the end of an epoch, once that is in effect."""
        if epoch <= self._sealed:
            return
        raw = msgspec.msgpack.encode(self._growing.snapshot())
        self._add(Seal(epoch, self.end(epoch) + self._horizon_ms, raw))
        self._grow_on()
        self._untaken = True

    def take(self, safe_ts: int) -> bytes | None:
        """Return the seals that a successor needs, and `safe_ts`, if one is new since the last call.

        Args:
            safe_ts: the event time from which a successor would begin, once what is done now is committed.
                It may begin where the last call said as well: the commit may fail.
        """
        is_new = self._untaken or safe_ts > self._from_ts
        raw = pack(self._seals, safe_ts) if is_new else None
        self.let_go(safe_ts)
        return raw

    def let_go(self, safe_ts: int) -> None:
        """Do as `take` does where there is no successor."""
        self._untaken = False
        self._forget(self._from_ts)
        self._from_ts = safe_ts

    def restore(self, raw: bytes) -> int:
        """Go on from what `take` returned, before anything is folded; returns what it was told."""
        is_cut, seals, safe_ts = unpack(raw)
        for seal in seals:
            self._add(seal)
        if is_cut:  # the oldest that is left is the next best before it as well
            self._visible[0] = self._visible[1]
        if seals:
            self._grow_on()
        return safe_ts

    def _add(self, seal: Seal) -> None:
        self._sealed = seal.epoch
        self._seals.append(seal)
        self._visible.append(_Visible(seal.effective_ts, self._read(seal)))

    def _grow_on(self) -> None:
        self._growing = self._read(self._seals[-1])

    def _read(self, seal: Seal) -> E:
        """Read a seal back, always: so it is the same to the one that made it and to a successor."""
        estimates = self._kind()
        estimates.restore(msgspec.msgpack.decode(seal.state))
        return estimates

    def _forget(self, before: int) -> None:
        """Let go of the seals that no label from `before` on would use."""
        while len(self._seals) > 1 and self._seals[1].effective_ts <= before:
            del self._seals[0], self._visible[0]
