"""SHELL: the ranks that `torchrun` started, over torch.distributed: gloo on CPUs, NCCL between GPUs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from learner.ranks import Alone, Ranks


class Group:
    """The process group of this process; join it first."""

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all ranks."""
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the vectors of all ranks, in their order: first their lengths are told, then as one size."""
        sizes = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(self.size)]
        distributed.all_gather(sizes, torch.tensor([len(values)], device=values.device))
        lengths = [int(size) for size in sizes]
        padded = values.new_zeros(max(lengths))
        padded[: len(values)] = values
        gathered = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(gathered, padded)
        return [whole[:length] for whole, length in zip(gathered, lengths, strict=True)]


@contextmanager
def joined(environ: Mapping[str, str]) -> Iterator[Ranks]:
    """The ranks of the process group that torchrun's variables describe, left at the end; else one alone."""
    if int(environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(environ.get("LOCAL_RANK", "0")))
    # What is told apart from gradients lies in CPU tensors, on machines with GPUs, too.
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    store, rank, size = next(rendezvous("env://"))
    # Ranks that were started again meet in the same store, where the addresses of the dead still stand.
    attempt = environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own = PrefixStore(f"attempt-{attempt}", store)
    distributed.init_process_group(backend, store=own, rank=rank, world_size=size)
    try:
        yield Group()
    finally:
        distributed.destroy_process_group()
