"""SHELL: the bound on shutting down. Without it, processes wait for a broker that is gone or hangs."""

import logging
import os
import threading
import time
from collections.abc import Callable

SHUTDOWN_S = 15.0
"""Seconds from the order to stop to the forced end; five are enough, orchestrators kill after 30."""

POLL_S = 0.5

log = logging.getLogger(__name__)


def watch(should_stop: Callable[[], bool], limit_s: float = SHUTDOWN_S) -> None:
    """Start a daemon thread that ends the process, code 1, when stopping takes longer than `limit_s`.

    What was not committed, or snapshotted, is read again by the next one: nothing is lost by leaving.
    """
    threading.Thread(target=_watch, args=(should_stop, limit_s), name="watchdog", daemon=True).start()


def _watch(should_stop: Callable[[], bool], limit_s: float) -> None:
    while not should_stop():
        time.sleep(POLL_S)
    time.sleep(limit_s)
    log.critical("shutdown took longer than %.0f s (is the broker gone?); leaving without it", limit_s)
    logging.shutdown()
    os._exit(1)
