"""SHELL: a log directory → the base that a stream then adapts."""

from dataclasses import replace
from pathlib import Path

import torch

from learner.backfill import Trained, train_base
from learner.base import save_base
from learner.fitting import BackfillSettings, Progress
from learner.foundation import lay_foundation
from learner.halfway import Halfway
from learner.settings import LearnerSettings
from stream.join_settings import JoinSettings
from stream.labelled_log import read_labels
from stream.logs import read_items


def backfill(
    directory: Path, until_ts: int | None, settings: LearnerSettings, join: JoinSettings, progress: Progress
) -> Trained:
    """Train a base on the catalogue and the events before `until_ts` (epoch ms; None: all), and keep it.

    `join` says how they are labelled: as by the worker that comes after it. The base is written to
    `settings.base_dir`; the vectors of texts are cached in the state directory. A run that was killed is gone
    on from after its last epoch, and ends with the same base, byte for byte.

    Raises:
        LogDirectoryError: the log cannot be read.
        BaseError: there is nothing to learn from, or a model that the settings name cannot serve.
    """
    torch.set_num_threads(settings.threads)
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    items = list(read_items(directory))
    foundation = lay_foundation(settings, device)
    halfway = Halfway(settings.base_dir)
    try:
        trained = train_base(
            items,
            read_labels(directory, items, until_ts, join),
            foundation.embed,
            foundation.text_encoder,
            foundation.shape,
            BackfillSettings(seed=settings.seed, wordings=settings.wordings),
            device,
            progress,
            foundation.backbone,
            halfway,
        )
    finally:
        foundation.embed.close()
    trained = replace(trained, base=foundation.complete(trained.base))
    save_base(trained.base, settings.base_dir)
    halfway.forget()
    return trained
