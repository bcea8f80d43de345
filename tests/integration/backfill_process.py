"""Base training as a process: trains on the planted log, keeps how far it is, and leaves the base's bytes."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from learner.backfill import train_base
from learner.fitting import BackfillSettings, Kept, Progress
from learner.halfway import Halfway
from tests.tiny import ITEMS, SHAPE, embed, labels

SETTINGS = BackfillSettings(epochs=10, patience=10, batch=8)


def train(kept: Kept, progress: Progress = lambda *_: None, seed: int = 0) -> bytes:
    """The base's payload."""
    log, settings = labels(100, seed=1), replace(SETTINGS, seed=seed)
    return train_base(
        ITEMS, log, embed, "planted", SHAPE, settings, progress=progress, kept=kept
    ).base.payload


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Halfway(Path(sys.argv[1])))
