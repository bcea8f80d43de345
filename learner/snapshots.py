"""SHELL: trainer snapshots in a state directory or behind any fsspec URL; one file each, whole or absent."""

import hashlib
import logging
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from learner.background import Background
from learner.ports import State
from schemas.checkpoint import Snapshot
from schemas.errors import SnapshotError
from schemas.record import Record

logger = logging.getLogger(__name__)

KEEP: Final = 3
"""Snapshots kept in a directory: the newest, and two more should it turn out to be damaged."""

LISTINGS: Final = 5
"""So often the directory is listed for a snapshot that is still there when it is read."""

_NAME = re.compile(r"snapshot-(\d{12})")


class _Header(Record, frozen=True, kw_only=True):
    """The first line of a snapshot file, as JSON; the payload is all that follows it."""

    sha256: str
    offsets: dict[str, int]


def write(directory: str, parts: Iterable[bytes], offsets: dict[str, int]) -> Snapshot:
    """Add a snapshot of the state that reflects the labels before these offsets, and delete the oldest ones.

    Its payload is all parts together. It is written beside its place, flushed to the disk, and only then
    renamed: a crash leaves either the whole snapshot or none.

    Raises:
        SnapshotError: the directory cannot be written to.
    """
    content, hashed = list(parts), hashlib.sha256()
    for part in content:
        hashed.update(part)
    header = _Header(sha256=hashed.hexdigest(), offsets=offsets)
    try:
        filesystem, root = _open_directory(directory)
        numbers = _numbers(filesystem, root)
        path = _path(root, max(numbers, default=0) + 1)
        _write_whole(filesystem, path, [msgspec.json.encode(header), b"\n", *content])
        for number in sorted(numbers)[: 1 - KEEP]:
            filesystem.rm_file(_path(root, number))
    except OSError as error:
        raise SnapshotError(f"snapshot directory {directory}: expected it writable, got {error}") from error
    return Snapshot(uri=filesystem.unstrip_protocol(path), sha256=header.sha256, offsets=offsets)


def newest(directory: str) -> tuple[bytes, Snapshot] | None:
    """Return the newest whole snapshot, None if there is none; damaged ones are passed over with a warning.

    Raises:
        SnapshotError: the directory cannot be read.
    """
    try:
        filesystem, root = _open_directory(directory)
        for _ in range(LISTINGS - 1):
            with suppress(FileNotFoundError):  # a learner at work has deleted what was listed a moment ago
                return _newest(filesystem, root)
        return _newest(filesystem, root)
    except OSError as error:
        raise SnapshotError(f"snapshot directory {directory}: expected it readable, got {error}") from error


def _newest(filesystem: Any, root: str) -> tuple[bytes, Snapshot] | None:
    for number in sorted(_numbers(filesystem, root), reverse=True):
        found = _read(filesystem, _path(root, number))
        if found is not None:
            return found
    return None


def _read(filesystem: Any, path: str) -> tuple[bytes, Snapshot] | None:
    with filesystem.open(path, "rb") as file:
        line, payload = file.readline(), file.read()
    try:
        header = msgspec.json.decode(line, type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        logger.warning("snapshot %s: expected a header line, got %s; trying the one before", path, error)
        return None
    sha256 = hashlib.sha256(payload).hexdigest()
    if sha256 != header.sha256:
        logger.warning(
            "snapshot %s: expected sha256 %s, got %s over %d bytes; trying the one before",
            path,
            header.sha256,
            sha256,
            len(payload),
        )
        return None
    return payload, Snapshot(uri=filesystem.unstrip_protocol(path), sha256=sha256, offsets=header.offsets)


def _write_whole(filesystem: Any, path: str, content: Iterable[bytes]) -> None:
    aside = f"{path}.partial"
    local = isinstance(filesystem, LocalFileSystem)
    try:
        with filesystem.open(aside, "wb") as file:
            for part in content:
                file.write(part)
            if local:
                file.flush()
                os.fsync(file.fileno())
        filesystem.mv(aside, path)
    except OSError:
        with suppress(OSError):  # a full disk should not stay full of what is of no use
            filesystem.rm_file(aside)
        raise
    if local:
        _sync_directory(os.path.dirname(path))  # noqa: PTH120 – fsspec speaks in strings


def _sync_directory(path: str) -> None:
    """Make a rename survive a power cut; an object store does so by itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_directory(directory: str) -> tuple[Any, str]:
    filesystem, root = fsspec.core.url_to_fs(directory)
    filesystem.makedirs(root, exist_ok=True)
    return filesystem, root.rstrip("/")


def _numbers(filesystem: Any, root: str) -> list[int]:
    filesystem.invalidate_cache(root)
    names = (path.rpartition("/")[2] for path in filesystem.ls(root, detail=False))
    return [int(match[1]) for match in map(_NAME.fullmatch, names) if match]


def _path(root: str, number: int) -> str:
    return f"{root}/snapshot-{number:012d}"


class SnapshotWriter:
    """The snapshots of one directory, written beside the training thread."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._writing: Background = Background("snapshot")
        self._written: Snapshot | None = None

    def newest(self) -> tuple[bytes, Snapshot] | None:
        """Return the newest whole snapshot."""
        found = newest(self._directory)
        self._written = found[1] if found else None
        return found

    @property
    def ready(self) -> bool:
        """Whether the snapshot before has been written."""
        return not self._writing.busy

    @property
    def written(self) -> Snapshot | None:
        """The newest snapshot that is known to be whole."""
        return self._written

    def write(self, state: State, offsets: dict[str, int]) -> None:
        """Begin to encode and write a snapshot.

        Raises:
            SnapshotError: the one before could not be written.
        """
        self._writing.start(partial(self._write, state, offsets))

    def wait(self, timeout_s: float) -> bool:
        """Wait until the last snapshot is written; False if that takes longer.

        Raises:
            SnapshotError: it could not be written.
        """
        return self._writing.wait(timeout_s)

    def _write(self, state: State, offsets: dict[str, int]) -> None:
        self._written = write(self._directory, state.parts(), offsets)
        logger.info("snapshot %s: offsets %s", self._written.uri, offsets)
