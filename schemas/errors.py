"""Everything that freshrank raises on purpose.

    FreshrankError
    ├── InvalidRecord          bytes that are not the record they should be → one dead letter
    ├── SettingsError          a setting that cannot work
    ├── LogDirectoryError      a log directory, or a line of it, that cannot be read
    ├── CheckpointRefused      a checkpoint that must not be served; the serving version stays
    ├── SnapshotError          a trainer snapshot that cannot be written or restored
    ├── BaseError              a base directory that is missing, damaged or foreign
    ├── ProcessError           a child process that could not be started, or ended early
    └── BrokerError            a broker that could not be started or reached

Messages say the place, what was expected, and what came.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a record was refused; the label of the dead-letter counter."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    INVALID = "invalid"
    ID_TOO_LONG = "id_too_long"
    SCHEMA_UNSUPPORTED = "schema_unsupported"
    FROM_THE_FUTURE = "from_the_future"
    BEFORE_RETENTION = "before_retention"


class FreshrankError(Exception):
    """Root of the tree."""


class InvalidRecord(FreshrankError):
    """Bytes that are not the record they should be."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class SettingsError(FreshrankError):
    """A setting that cannot work."""


class LogDirectoryError(FreshrankError):
    """A log directory, or a line of it, that cannot be read."""


class CheckpointRefused(FreshrankError):
    """A checkpoint that must not be served."""


class SnapshotError(FreshrankError):
    """A trainer snapshot that cannot be written or restored."""


class BaseError(FreshrankError):
    """A base directory that is missing, damaged or foreign."""


class ProcessError(FreshrankError):
    """A child process that could not be started, or ended early."""


class BrokerError(FreshrankError):
    """A broker that could not be started or reached."""
