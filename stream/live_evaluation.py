"""PURE: test-then-train on the live stream: what each arm said of a slate before its label was known."""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

from river.metrics import RollingROCAUC

from schemas.evaluation import Evaluation
from schemas.labels import LabeledSlate

METRIC = "auc_click"
WINDOW = 2_000
"""Shown items that a rolling metric looks back on."""

PENDING = 20_000
"""Slates that may wait for their final label, and as many that have theirs; the oldest gives way."""

Predictions = Mapping[str, float]
"""Item id → probability of a click, as said when the slate was shown."""


class LiveEvaluation:
    """Keeps each arm's predictions until the slate's final outcomes, then folds both into rolling metrics.

    river counts two equal scores as a wrong order, where one half is usual; a network's scores rarely tie.
    """

    def __init__(self, arms: Sequence[str], window: int = WINDOW, pending: int = PENDING) -> None:
        self._arms = tuple(arms)
        self._pending_limit = pending
        self._pending: OrderedDict[str, Mapping[str, Predictions]] = OrderedDict()
        self._judged: OrderedDict[str, None] = OrderedDict()
        self._auc = {arm: RollingROCAUC(window_size=window) for arm in arms}
        self._seen: deque[tuple[int, bool]] = deque(maxlen=window)
        self._fresh = False

    def expect(self, request_id: str, predictions: Mapping[str, Predictions]) -> None:
        """Remember what each arm said of a slate when it was shown.

        Of one that comes again (sent twice, or read again after a rebalance) the first counts: by the second
        time, an arm may have learned what became of it.
        """
        if request_id in self._pending or request_id in self._judged:
            return
        self._pending[request_id] = predictions
        if len(self._pending) > self._pending_limit:
            self._pending.popitem(last=False)

    def observe(self, slate: LabeledSlate) -> None:
        """Fold the outcomes that are final; the slate is forgotten with its last revision of the window."""
        if not any(outcome.final for outcome in slate.outcomes):
            return
        self._judged[slate.request_id] = None
        if len(self._judged) > self._pending_limit:
            self._judged.popitem(last=False)
        predictions = self._pending.pop(slate.request_id, None)
        if predictions is None:
            return
        for outcome in slate.outcomes:
            if outcome.final and all(outcome.item_id in predictions[arm] for arm in self._arms):
                self._fold(
                    slate.ts, outcome.clicked, {arm: predictions[arm][outcome.item_id] for arm in self._arms}
                )

    def _fold(self, ts: int, clicked: bool, said: Mapping[str, float]) -> None:
        for arm, probability in said.items():
            self._auc[arm].update(clicked, probability)
        self._seen.append((ts, clicked))
        self._fresh = True

    def report(self, versions: Mapping[str, str | None]) -> list[Evaluation]:
        """One evaluation an arm, over the window; none while it holds one class only, or nothing new."""
        if not self._fresh or len({clicked for _, clicked in self._seen}) < 2:
            return []
        self._fresh = False
        start, end = min(ts for ts, _ in self._seen), max(ts for ts, _ in self._seen)
        return [
            Evaluation(
                name=METRIC,
                value=float(self._auc[arm].get()),
                count=len(self._seen),
                model_version=versions.get(arm),
                window_start=start,
                window_end=end,
                slice={"arm": arm},
            )
            for arm in self._arms
        ]
