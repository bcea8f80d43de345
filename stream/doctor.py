"""SHELL: what stands in the way of running freshrank here: one check a function, each with what to do."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from schemas.codec import MAX_BYTES
from schemas.errors import BaseError, BrokerError
from stream.administration import Status, TopicReport, list_topics, message_bytes, require_broker
from stream.settings import Settings
from stream.storage import DatabaseError, Store


class Check(NamedTuple):
    """The outcome of one check; `advice` says what to do where it failed."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Yield every check in the order in which failures are best mended."""
    yield from _broker_checks(settings)
    yield check_database(settings.database_url)
    yield check_base(settings.base_dir)
    yield check_device()


def _broker_checks(settings: Settings) -> Iterator[Check]:
    try:
        require_broker(settings)
    except BrokerError as error:
        yield Check("broker", False, str(error), "start one (`make kafka`), or set FRESHRANK_BROKER")
        return
    yield Check("broker", True, settings.broker)
    checks: tuple[Callable[[], Check], ...] = (
        lambda: check_topics(list_topics(settings)),
        lambda: check_partitions(list_topics(settings)),
        lambda: check_message_bytes(message_bytes(settings)),
    )
    for check in checks:
        try:
            yield check()
        except BrokerError as error:
            yield Check("broker answers", False, str(error), "is it a Kafka broker? see its log")
            return


def check_topics(reports: list[TopicReport]) -> Check:
    """PURE: are all topics there?"""
    missing = [report.name for report in reports if report.status is Status.MISSING]
    found = f"missing: {', '.join(missing)}" if missing else f"all {len(reports)}"
    return Check("topics", not missing, found, "`freshrank topics create`")


def check_partitions(reports: list[TopicReport]) -> Check:
    """PURE: has every topic that is there the partitions it should have? Else joins see half of a user."""
    wrong = [report for report in reports if report.status is Status.WRONG_PARTITIONS]
    found = ", ".join(f"{report.name} {report.partitions}, expected {report.expected}" for report in wrong)
    advice = "set FRESHRANK_PARTITIONS to what the topics have, or delete them and create them again"
    return Check("partition counts", not wrong, found or "as set", advice)


def check_message_bytes(limits: dict[str, int]) -> Check:
    """PURE: does every topic take the largest record?"""
    small = [f"{name} {limit:,}" for name, limit in limits.items() if limit < MAX_BYTES]
    advice = f"set max.message.bytes of these topics to at least {MAX_BYTES:,}"
    return Check("message size", not small, ", ".join(small) or f"at least {MAX_BYTES:,} bytes", advice)


def check_database(url: str) -> Check:
    """Can the registry be opened, and its tables made?"""
    advice = "set FRESHRANK_DATABASE to a URL that opens"
    try:
        with closing(Store(url)) as store:
            store.create()
            shown = store.url
    except (DatabaseError, OSError, ImportError) as error:  # ImportError: the URL's driver is not installed
        return Check("database", False, str(error), advice)
    return Check("database", True, shown)


def check_base(directory: Path) -> Check:
    """Is there a trained base, which worker and learner can read? A training that was killed leaves none."""
    from learner.base import load_base  # has torch

    try:
        found = load_base(directory).hash
    except BaseError as error:
        return Check("base", False, str(error), "`freshrank backfill DIR`")
    return Check("base", True, f"{found} in {directory}")


def check_device() -> Check:
    """Does torch load, and what will it run on?"""
    import torch  # seconds to import; only here

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return Check("device", True, f"torch {torch.__version__} on {device}")
