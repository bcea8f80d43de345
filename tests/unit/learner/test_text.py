import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from learner.text import TextEncoder


def test_ranks_that_start_together_share_a_new_cache(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def open_new(number: int) -> None:
        together.wait()
        TextEncoder(tmp_path / str(number)).close()

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            list(pool.map(open_new, [number] * 4))
