import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from learner.text import TextEncoder


def test_ranks_that_start_together_share_a_new_cache(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def open_new(number: int) -> None:
        together.wait()
        TextEncoder(tmp_path / str(number)).close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            list(pool.map(open_new, [number] * 4))


def test_what_the_disk_does_not_take_is_encoded_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(tmp_path / "text.db")) as cache:  # a view cannot be written to
        cache.execute("CREATE VIEW vectors AS SELECT x'' AS hash, x'' AS vector, 0 AS rowid WHERE 0")
    encoder = TextEncoder(tmp_path)
    with caplog.at_level(logging.WARNING):
        first, second = encoder(["jazz"]), encoder(["jazz"])
    encoder.close()
    assert np.array_equal(first, second)
    assert [record.message.partition(":")[0] for record in caplog.records] == ["text cache"]
