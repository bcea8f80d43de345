"""PURE: from candidates and their utilities to an answer: filter → score → combine → select.

Scoring and combining are the scorer's (`learner.scorer`); this file filters before and selects after.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.labels import Session
from schemas.recommendation import Recommendation, RecommendationRequest, RecommendedItem
from stream.exploration import Policy


def eligible(request: RecommendationRequest, catalogue: Iterable[str], session: Session) -> list[str]:
    """Return the items that may answer, in the order of the candidates, each once.

    Candidates that the request names are ranked as asked, less its `exclude`. Of the whole catalogue,
    items that the user clicked or judged lately are left out too; a mere dwell does not count.
    """
    excluded = set(request.exclude)
    if request.candidates is None:
        excluded.update(touched.item_id for touched in session.recent if touched.action != "dwell")
        candidates = catalogue
    else:
        candidates = request.candidates
    return [item_id for item_id in dict.fromkeys(candidates) if item_id not in excluded]


def recommend(
    request: RecommendationRequest,
    candidate_ids: Sequence[str],
    utilities: NDArray[np.floating],
    policy: Policy,
    rng: np.random.Generator,
    model_version: str | None,
    degraded: str | None = None,
) -> Recommendation:
    """Let the policy choose the answer's slate.

    Args:
        request: asks for `k` items; its ids and time are the answer's.
        candidate_ids: what `eligible` returned, n of them; may be empty, and then so is the answer.
        utilities: shape [n], higher is better, one per candidate.
        policy: its name and exact propensities are logged in the answer.
        rng: the only source of chance.
        model_version: what scored; None for a fallback.
        degraded: why a fallback answered, else None.
    """
    chosen, propensities = policy.select(utilities, request.k, rng)
    items = [
        RecommendedItem(
            item_id=candidate_ids[index],
            score=float(utilities[index]),
            propensity=float(share),
            position=place,
        )
        for place, (index, share) in enumerate(zip(chosen, propensities, strict=True))
    ]
    return Recommendation(
        request_id=request.request_id,
        user_id=request.user_id,
        ts=request.ts,
        items=items,
        policy=policy.name,
        model_version=model_version,
        degraded=degraded,
    )
