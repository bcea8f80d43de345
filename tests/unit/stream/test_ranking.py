import numpy as np

from schemas.labels import Session, SessionItem
from schemas.recommendation import RecommendationRequest
from stream.exploration import EpsilonGreedy, Greedy
from stream.ranking import eligible, recommend

SESSION = Session(
    recent=[
        SessionItem(item_id="clicked", action="click", age_s=1),
        SessionItem(item_id="passed", action="dwell", age_s=1),
        SessionItem(item_id="hidden", action="negative", age_s=1),
    ]
)
CATALOGUE = ["new", "clicked", "passed", "hidden", "excluded"]


def request(**more):
    return RecommendationRequest(request_id="r", user_id="u", ts=9, k=2, exclude=["excluded"], **more)


def test_of_the_catalogue_what_was_engaged_with_is_left_out():
    assert eligible(request(), CATALOGUE, SESSION) == ["new", "passed"]


def test_named_candidates_are_ranked_as_asked():
    asked = request(candidates=["clicked", "excluded", "new", "clicked"])
    assert eligible(asked, CATALOGUE, SESSION) == ["clicked", "new"]


def test_an_answer_carries_what_an_impression_needs():
    policy = EpsilonGreedy(0.3)
    answer = recommend(
        request(), ["a", "b", "c"], np.array([0.1, 0.3, 0.2]), policy, np.random.default_rng(1), "v1"
    )
    assert (answer.request_id, answer.user_id, answer.ts) == ("r", "u", 9)
    assert (answer.policy, answer.model_version, answer.degraded) == ("epsilon-greedy:0.3", "v1", None)
    assert [item.position for item in answer.items] == [0, 1]
    assert all(0 < item.propensity <= 1 for item in answer.items)


def test_no_candidates_no_items():
    answer = recommend(request(), [], np.array([]), Greedy(), np.random.default_rng(0), None, "why")
    assert answer.items == []
    assert answer.degraded == "why"
