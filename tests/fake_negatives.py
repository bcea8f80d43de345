"""Fake negatives, to compare with: each item is a negative as soon as it is shown, and a click when it comes.

Ktena et al., "Addressing Delayed Feedback for Continuous Training with Neural Networks in CTR prediction",
RecSys 2019. An item that is clicked with probability p is then learned once as a negative and p times as a
click, so that of its samples a share

    b = p / (1 + p)                                                                       (their 3)

are clicks, and a model f that is trained on them as they are finds b. Two ways back to p:

- FNW weighs a click by 1 + p and a negative by (1 - p)·(1 + p), with the model's own f for p       (their 5);
- FNC trains on them as they are, and serves p = b / (1 - b)                                        (their 6).

Both need a label at once for every impression, a negative that is known to be told too soon: twice the labels
for the whole stream. FNC's order of items is that of b: its AUC is that of fake negatives without any weight.

Up to the factor 1 + p FNW weighs a negative by 1 - p and a click by 1, as `stream.delays` weighs a quick
negative of which no click has come yet; with the rate of the surface for p it asks nothing of a model.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from schemas.events import Click
from schemas.labels import LabeledSlate, Outcome
from tests.planted_delays import WINDOW_MS, Loss, Visit, events_of, label_of

MOST_BIASED = 0.499
"""Above it b is no share of fake negatives and clicks, and b / (1 - b) leaves [0, 1)."""


def weight(target: float, chance: float) -> float:
    """Return the weight of a sample in FNW, for f's chance of a click; at f = p nothing is left to learn.

    >>> p = 0.25
    >>> weight(1.0, p) * p * (1 - p) - weight(0.0, p) * p
    0.0
    """
    return 1 + chance if target else (1 - chance) * (1 + chance)


def calibrated(biased: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return FNC's p for what a model found that learned fake negatives as they are.

    >>> calibrated(np.array([0.2, 0.0, 0.5])).round(3).tolist()
    [0.25, 0.0, 0.996]
    """
    share = np.minimum(biased, MOST_BIASED)
    chances: NDArray[np.float64] = share / (1 - share)
    return chances


FNW = Loss(weight=weight)
FNC = Loss(calibrated=calibrated)


def click_rate(seen: list[Visit]) -> Callable[[int], float]:
    """Return the share of items that are clicked, by what is known at a time: slates whose window is over."""
    over = [visit.impression.ts + WINDOW_MS for visit in seen]
    shown = np.cumsum([len(visit.delays_ms) for visit in seen])
    clicked = np.cumsum([visit.clicked.sum() for visit in seen])

    def rate(ts: int) -> float:
        known = bisect_right(over, ts)
        return float(clicked[known - 1] / shown[known - 1]) if known else 0.0

    return rate


def fake_negatives(
    seen: list[Visit], rate: Callable[[int], float] = lambda ts: 0.0
) -> Iterator[tuple[int, LabeledSlate]]:
    """Every slate as negatives of weight 1 - rate at once, and each click of the window when it comes."""
    shown = {visit.impression.request_id: visit.impression for visit in seen}
    revisions = dict.fromkeys(shown, 0)
    for event in events_of(seen):
        slate = shown[event.request_id]
        if event.ts - slate.ts >= WINDOW_MS:
            continue
        clicked = event.item_id if isinstance(event, Click) else None
        outcomes = [
            Outcome(
                item_id=item.item_id,
                position=item.position,
                clicked=clicked is not None,
                weight=1.0 if clicked else 1 - rate(event.ts),
            )
            for item in slate.items
            if clicked in (None, item.item_id)
        ]
        yield event.ts, label_of(slate, event.ts, outcomes, revisions[slate.request_id])
        revisions[slate.request_id] += 1
