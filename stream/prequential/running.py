"""PURE: a metric over event time, in windows of equally many answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learner.evaluation import auc, hit_rate_at
from stream.prequential.exams import Answers, K
from stream.prequential.measures import Liked, Shown

WINDOWS = 24


def running(answers: Mapping[str, Sequence[Answers]], shown: Shown, liked: Liked) -> dict[str, Any]:
    """AUC of clicks in each window of time, or HR@10 where the log has no impressions; means over seeds.

    Returns `metric`, the mean `ts` of every window (ms), and every entrant's values; a window of one class
    only has None.
    """
    name, ts = ("auc.click", shown.ts) if shown.ts else (f"hr@{K}", liked.ts)
    windows = [window for window in np.array_split(np.arange(len(ts)), WINDOWS) if len(window)]
    stamps = np.array(ts, np.float64)
    return {
        "metric": name,
        "ts": [int(stamps[window].mean()) for window in windows],
        "arms": {
            entrant: [_mean([_value(one, shown, window) for one in runs]) for window in windows]
            for entrant, runs in answers.items()
        },
    }


def _value(answers: Answers, shown: Shown, window: np.ndarray[Any, np.dtype[np.intp]]) -> float:
    if shown.ts:
        return auc(np.array(answers.click)[window], shown.clicked[window])
    return hit_rate_at(np.array(answers.ranks)[window], K)


def _mean(values: Sequence[float]) -> float | None:
    mean = float(np.mean(values))
    return mean if np.isfinite(mean) else None
