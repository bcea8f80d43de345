"""What a model predicts for slates of a planted taste that it never learned."""

import numpy as np

from learner.knowledge import Knowledge
from learner.online import OnlineLearner
from learner.query import Query
from learner.ranker import Ranker
from learner.scorer import score
from tests.tastes import CLICKED_IF_LIKED, CLICKED_IF_NOT, KINDS, USERS, Taste, slates


class Probe:
    """Fixed slates, and for each shown item whether it is liked: the truth without the chance of clicks."""

    def __init__(self, taste: Taste, users: range = range(USERS), n: int = 100) -> None:
        asked = slates(n, 99, taste, users)
        self._queries = [
            Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=s.slate) for s in asked
        ]
        self._liked = np.array(
            [int(item[1:]) % len(KINDS) == taste(int(s.user_id[1:])) for s in asked for item in s.slate]
        )

    def accuracy(self, online: OnlineLearner) -> float:
        """Share of the items of which it is told rightly whether they are liked."""
        middle = (CLICKED_IF_LIKED + CLICKED_IF_NOT) / 2
        return float(np.mean((self._clicks(online.ranker, online.knowledge) > middle) == self._liked))

    def loss(self, ranker: Ranker, knowledge: Knowledge) -> float:
        """Expected log loss of a click, in nats."""
        p = self._clicks(ranker, knowledge)
        chance = np.where(self._liked, CLICKED_IF_LIKED, CLICKED_IF_NOT)
        return float(np.mean(-chance * np.log(p) - (1 - chance) * np.log(1 - p)))

    def _clicks(self, ranker: Ranker, knowledge: Knowledge) -> np.ndarray:
        answers = score(ranker, knowledge, self._queries, "cpu")
        return np.concatenate(answers)[:, 0].astype(np.float64)
