"""SHELL: the Faust app, with the settings that its known traps ask for."""

import asyncio
import socket
from pathlib import Path
from typing import Any, Final

from stream.batches import BatchApp
from stream.credentials import faust_credentials
from stream.guard import web_options
from stream.settings import Settings

SESSION_S: Final = 10.0
"""A killed worker's partitions stand still for as long; Faust's default is a minute."""

REBALANCE_S: Final = 15.0
"""How long the group waits for a member that does not come back; leaving a partition takes far less."""

REQUEST_S: Final = 40.0

FETCH_S: Final = 1.1
"""A little longer than the longest wait of one fetch, which is a second."""

COMMIT_S: Final = 1.0
BUFFER: Final = 16_384
"""Messages that an agent's queue holds; with the default of 4,096 a replay stops and goes."""

POLL_RECORDS: Final = 1_024
"""Messages taken of one partition before another has its turn; each turn takes a tenth of a ms."""

BATCH_BYTES: Final = 500_000
"""Of one produced batch: brokers take up to a million."""

MESSAGE_BYTES: Final = 4_000_000
"""Above what a broker takes, so that it is the broker that decides what is too large."""


def data_dir(settings: Settings) -> Path:
    """Faust's own directory, one for each worker of a host."""
    return Path(settings.state_dir) / "faust" / str(settings.web_port)


def instance_id(settings: Settings) -> str:
    """Who this worker is to the group, before and after a crash.

    A worker that comes back takes its partitions up at once, instead of waiting until its earlier self is
    given up; one that does not come back is given up after SESSION_S.
    """
    return f"{socket.gethostname()}-{settings.web_port}"


def faust_app(settings: Settings) -> BatchApp:
    """Make the app of one worker; opens no connection."""
    app = BatchApp(
        settings.group,
        broker=[f"kafka://{address}" for address in settings.broker.split(",")],
        broker_credentials=faust_credentials(settings),
        store="memory://",
        datadir=data_dir(settings),
        autodiscover=False,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port,
        web_application_options=web_options(settings.web_token),
        web_router_enabled=False,
        web_tables_enabled=False,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 3,
        broker_rebalance_timeout=REBALANCE_S,
        broker_request_timeout=REQUEST_S,
        broker_commit_interval=COMMIT_S,
        broker_max_poll_records=POLL_RECORDS,
        consumer_max_fetch_size=MESSAGE_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance_id(settings),
        producer_acks=-1,
        producer_max_request_size=MESSAGE_BYTES,
        producer_max_batch_size=BATCH_BYTES,
        stream_buffer_maxsize=BUFFER,
        stream_wait_empty=False,  # an open slate is not acknowledged for minutes: nobody should wait for it
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_disable_leader=True,
        worker_redirect_stdouts=False,
        table_standby_replicas=0,
    )
    app.on_rebalance_complete.connect(_stand_still, weak=False)
    return app


async def _stand_still(app: BatchApp, **_: Any) -> None:
    """Between a table's recovery and the return to the committed offsets, let no message be lost.

    Faust 0.15.3 goes on fetching here, from every partition, and then seeks. So fetching is stopped (Faust
    resumes it after the seek) and the fetch under way is waited out. Standby replicas would lose changelog
    records meanwhile, which is why there are none.
    """
    app.consumer.stop_flow()
    app.flow_control.suspend()
    await asyncio.sleep(FETCH_S)
