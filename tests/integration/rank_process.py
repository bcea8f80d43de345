"""One rank of several, as a process: learns the planted batches and leaves its snapshot in a directory."""

import os
import sys
from pathlib import Path

import torch

from learner.group import joined
from learner.online import OnlineLearner
from learner.ranks import Ranks
from tests.unit.learner.test_online import ITEMS, SETTINGS, base, batches, embed, labels


def learn(ranks: Ranks) -> OnlineLearner:
    """What every rank does, and one alone."""
    online = OnlineLearner(base(), embed, SETTINGS, seed=0, ranks=ranks)
    online.put_items(ITEMS)
    for batch in batches(8, seed=3):
        online.learn(batch)
    online.learn(labels(1, seed=4))  # an example fewer than there are ranks
    return online


def main() -> None:
    torch.set_num_threads(1)
    with joined(os.environ) as ranks:
        Path(sys.argv[1], f"{ranks.rank}-of-{ranks.size}").write_bytes(learn(ranks).snapshot().payload)


if __name__ == "__main__":
    main()
