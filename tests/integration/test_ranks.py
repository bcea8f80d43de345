"""Ranks learn as one: two real processes over gloo end where one does, and torchrun starts them again."""

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import torch
from kafka import KafkaProducer

from learner import snapshots
from learner.base import Base, save_base
from learner.online import OnlineLearner
from learner.ranks import ALONE
from learner.trainer_state import unpack
from learner.update_settings import UpdateSettings
from stream.process import free_port
from tests.integration.rank_process import learn
from tests.integration.test_learner_process import (
    PATIENCE_S,
    address,
    base,
    environment,
    learned,
    no_text,
    producer,
    send,
    snapshot_dir,
)
from tests.processes import Process, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

__all__ = ["address", "base", "producer"]  # fixtures


def run_ranks(directory: Path, size: int) -> None:
    port = str(free_port())
    processes = []
    with ExitStack() as closing:
        for rank in range(size):
            given = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            command = [sys.executable, "-m", "tests.integration.rank_process", str(directory)]
            log = directory / f"{rank}-of-{size}.log"
            process = Process(command, {name: str(value) for name, value in given.items()}, log)
            processes.append(closing.enter_context(running(process)))
        for process in processes:
            assert process.wait(PATIENCE_S) == 0, process.tail()


def rank(group: Process, number: int) -> psutil.Process:
    """One of the learners that torchrun has started."""
    children = psutil.Process(group.pid).children()
    return next(one for one in children if one.environ().get("RANK") == str(number))


def restored(group: Process) -> int:
    """How often a rank has gone on from a snapshot."""
    return group.output().count("restored snapshot")


def test_two_ranks_end_where_one_does(tmp_path: Path) -> None:
    run_ranks(tmp_path, 2)
    first, second = ((tmp_path / name).read_bytes() for name in ("0-of-2", "1-of-2"))
    assert first == second, "every rank holds the same state, to the bit"
    one, two = learn(ALONE).snapshot().tensors, unpack(first).tensors
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=2e-5, equal_nan=True, msg=name)
        else:
            assert torch.equal(two[name], tensor), name


def test_ranks_that_are_killed_cost_and_repeat_no_label(
    address: str, producer: KafkaProducer, base: Base, tmp_path: Path
) -> None:
    save_base(base, tmp_path / "base")
    send(producer, range(100))
    torchrun = ["torch.distributed.run", "--nproc-per-node=2", "--max-restarts=2", "--monitor-interval=0.1"]
    command = [sys.executable, "-m", *torchrun, f"--master-port={free_port()}", "-m", "learner"]
    with running(Process(command, environment(address, tmp_path), tmp_path / "ranks.log")) as group:
        group.until(lambda: learned(tmp_path, base), PATIENCE_S, "a snapshot")
        for number in (1, 0):  # one that only learns, and the one that publishes and snapshots, too
            before = restored(group)
            send(producer, range(100 * (2 - number), 100 * (3 - number)))
            rank(group, number).kill()
            group.until(lambda so_far=before: restored(group) == so_far + 2, PATIENCE_S, "both to go on")
        send(producer, range(300, 400))
        group.until(lambda: learned(tmp_path, base) == 400, PATIENCE_S, "all labels in a snapshot")
        assert "1200 examples seen" in group.output(), "what is snapshotted was published"
    online = OnlineLearner(base, no_text, UpdateSettings(), 0)
    found = snapshots.newest(snapshot_dir(tmp_path, base))
    assert found is not None
    online.restore(found[0])
    assert Counter(online.learned_ids()) == Counter(f"r{number}#0" for number in range(400))
    assert online.examples_seen == 3 * 400
