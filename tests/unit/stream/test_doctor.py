"""What the doctor finds without a broker."""

from pathlib import Path

import pytest

from learner.base import save_base
from learner.halfway import Halfway
from stream.doctor import check_base
from tests.tiny import base


def test_a_base_is_one_that_a_worker_can_read(tmp_path: Path) -> None:
    Halfway(tmp_path).keep(b"an epoch")
    found = check_base(tmp_path)
    assert not found.ok, "the training was killed"
    assert (found.found.count(str(tmp_path)), found.advice) == (1, "`freshrank backfill DIR`")
    save_base(base(), tmp_path)
    assert check_base(tmp_path).ok
    assert base().hash in check_base(tmp_path).found


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 99])
def test_a_file_that_is_no_base_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "base.safetensors").write_bytes(content)
    assert not check_base(tmp_path).ok
