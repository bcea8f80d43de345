"""One user's part of what is learned is bounded; few users learn all the same."""

import numpy as np
import pytest

from learner.user_share import HORIZON, UserShare


def offered(shares: UserShare, users: int, n: int, seed: int = 0, heavy: float = 0.5) -> dict[str, float]:
    """Weight admitted by user, of `n` units; the heavy one sends `heavy` of them."""
    rng, admitted = np.random.default_rng(seed), {}
    for _ in range(n):
        user_id = "heavy" if rng.random() < heavy else f"user-{rng.integers(users)}"
        admitted[user_id] = admitted.get(user_id, 0.0) + shares.admit(user_id, 1.0)
    return admitted


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2])
def test_a_heavy_user_moves_no_more_than_the_share(share):
    admitted = offered(UserShare(share), users=200, n=20_000)
    assert admitted["heavy"] <= share * sum(admitted.values()) + 1e-6
    assert admitted["heavy"] > 0.8 * share * sum(admitted.values())


def test_the_others_are_learned_in_full():
    shares = UserShare(0.05)
    offered(shares, users=200, n=5_000)
    assert [shares.admit(f"user-{n}", 1.0) for n in range(200)] == [1.0] * 200


def test_few_users_learn_in_full():
    admitted = offered(UserShare(0.05), users=10, n=5_000, heavy=0.0)
    assert sum(admitted.values()) == pytest.approx(5_000, rel=0.01)


def test_a_share_of_one_holds_nobody_back():
    assert offered(UserShare(1.0), users=1, n=3_000, heavy=0.9).get("heavy", 0) > 2_500


def test_the_past_fades():
    shares = UserShare(0.05)
    offered(shares, users=100, n=int(1.5 * HORIZON))
    before = shares.of("heavy")
    offered(shares, users=100, n=int(2 * HORIZON), heavy=0.0)
    assert shares.of("heavy") < before / 2


def test_resuming_equals_running_through():
    whole, part = UserShare(0.05), UserShare(0.05)
    for seed in range(4):
        expected = offered(whole, users=50, n=7_000, seed=seed)
        resumed = UserShare(0.05)
        resumed.restore(part.snapshot())
        part = resumed
        assert offered(part, users=50, n=7_000, seed=seed) == expected
