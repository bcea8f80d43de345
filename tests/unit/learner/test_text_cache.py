"""The cache of texts is bounded, and what is in use outlasts any number of searches, and restarts."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from learner.text_cache import TextCache, Vectors

MOST = 2_000_000
"""About a thousand vectors of the default encoder's width."""

ITEMS = [b"item %d" % n for n in range(200)]


def vectors(keys: Iterable[bytes]) -> dict[bytes, Vectors]:
    return {key: np.full(384, number, np.float32) for number, key in enumerate(keys)}


def searches(n: int, day: int = 0) -> Iterator[list[bytes]]:
    """So many, 50 at a time; none like another."""
    for start in range(0, n, 50):
        yield [b"search %d of day %d" % (number, day) for number in range(start, start + 50)]


def size(directory: Path) -> int:
    return (directory / "text.db").stat().st_size


def test_the_file_is_bounded_however_many_searches_come(tmp_path: Path) -> None:
    with closing(TextCache(tmp_path, MOST)) as cache:
        for asked in searches(5_000):
            cache.keep(vectors(asked))
        assert size(tmp_path) < 1.1 * MOST
        everything = [key for asked in searches(5_000) for key in asked]
        left = list(cache.read(everything))
    assert 800 < len(left) < 1_100
    assert set(left) == set(everything[-len(left) :]), "not the newest"


def test_items_that_every_start_reads_stay_through_all_searches(tmp_path: Path) -> None:
    known = vectors(ITEMS)
    with closing(TextCache(tmp_path, MOST)) as cache:
        cache.keep(known)
    for day in range(10):
        with closing(TextCache(tmp_path, MOST)) as cache:
            found = cache.read(ITEMS)
            assert found.keys() == known.keys()
            assert all(np.array_equal(found[key], known[key]) for key in ITEMS)
            for asked in searches(300, day):
                cache.keep(vectors(asked))


def test_a_catalogue_that_comes_at_once_is_kept_and_makes_the_older_go(tmp_path: Path) -> None:
    with closing(TextCache(tmp_path, MOST)) as cache:
        for asked in searches(900):
            cache.keep(vectors(asked))
        catalogue = [b"new %d" % n for n in range(600)]
        cache.keep(vectors(catalogue))
        assert cache.read(catalogue).keys() == set(catalogue)
    assert size(tmp_path) < 2 * MOST


def test_a_file_that_grew_without_a_bound_is_read_and_shrinks_with_what_comes(tmp_path: Path) -> None:
    before = [key for asked in searches(3_000) for key in asked]
    with closing(TextCache(tmp_path)) as cache:
        cache.keep(vectors(before))
        assert cache.read(before).keys() == set(before)
    grown = size(tmp_path)
    with closing(TextCache(tmp_path, MOST)) as cache:
        for asked in searches(2_000, day=1):
            cache.keep(vectors(asked))
        assert size(tmp_path) < 1.05 * grown, "what is free is not written anew"
        assert len(cache.read(before)) == 0


def test_a_cache_in_which_all_has_room_is_not_written_to_by_reading(tmp_path: Path) -> None:
    with closing(TextCache(tmp_path, MOST)) as cache:
        cache.keep(vectors(ITEMS))
        before = (tmp_path / "text.db").read_bytes()
        for _ in range(3):
            cache.read(ITEMS)
    assert (tmp_path / "text.db").read_bytes() == before
