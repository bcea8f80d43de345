"""SHELL: the Faust app, with the settings that its known traps ask for."""

from pathlib import Path
from typing import Final

import faust

from stream.settings import Settings

SESSION_S: Final = 10.0
"""A killed worker's partitions stand still for as long; Faust's default is a minute."""

COMMIT_S: Final = 1.0
BUFFER: Final = 16_384
"""Messages that an agent's queue holds; with the default of 4,096 a replay stops and goes."""

POLL_RECORDS: Final = 4_096

MESSAGE_BYTES: Final = 4_000_000
"""Above what a broker takes, so that it is the broker that decides what is too large."""


def data_dir(settings: Settings) -> Path:
    """Faust's own directory, one for each worker of a host."""
    return Path(settings.state_dir) / "faust" / str(settings.web_port)


def faust_app(settings: Settings) -> faust.App:
    """Make the app of one worker; opens no connection."""
    return faust.App(
        settings.group,
        broker=[f"kafka://{address}" for address in settings.broker.split(",")],
        store="memory://",
        datadir=data_dir(settings),
        autodiscover=False,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 3,
        broker_request_timeout=40.0,
        broker_commit_interval=COMMIT_S,
        broker_max_poll_records=POLL_RECORDS,
        consumer_max_fetch_size=MESSAGE_BYTES,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_max_request_size=MESSAGE_BYTES,
        stream_buffer_maxsize=BUFFER,
        stream_wait_empty=False,  # an open slate is not acknowledged for minutes: nobody should wait for it
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
    )
