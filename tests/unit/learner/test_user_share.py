"""One user's part of what is learned is bounded; few users learn all the same."""

import msgspec
import numpy as np
import pytest

from learner.user_share import HORIZON, MOST_USERS, YOUNG, Sums, UserShare


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


def admitted_after_a_long_history(users: dict[str, int], share: float = 0.05) -> dict[str, float]:
    """Weight that each user brings into one checkpoint, of the units they send, in turn."""
    shares = UserShare(share)
    offered(shares, users=200, n=18_000, heavy=0.0)
    shares.publish()
    admitted = dict.fromkeys(users, 0.0)
    for turn in range(max(users.values())):
        for user_id in (user_id for user_id, units in users.items() if turn < units):
            admitted[user_id] += shares.admit(user_id, 1.0)
    return admitted


def test_a_newcomer_moves_no_more_than_the_share_of_one_checkpoint():
    """The long history would leave a newcomer room for 900 units."""
    others = {f"user-{number}": 40 for number in range(100)}
    admitted = admitted_after_a_long_history({"newcomer": 800, **others})
    assert 0.04 < admitted["newcomer"] / sum(admitted.values()) <= 0.05
    assert all(admitted[user_id] == 40 for user_id in others)


def test_a_lonely_user_is_learned_at_once_and_moves_little_more_than_a_few_slates():
    assert admitted_after_a_long_history({"lonely": 30}) == {"lonely": 30}
    assert admitted_after_a_long_history({"lonely": 400}) == {"lonely": pytest.approx(0.05 * YOUNG)}


def test_a_draft_that_is_published_makes_room():
    shares = UserShare(0.05)
    offered(shares, users=200, n=18_000, heavy=0.0)
    for _ in range(3):
        shares.publish()
        assert sum(shares.admit("lonely", 1.0) for _ in range(100)) == pytest.approx(0.05 * YOUNG)


def test_the_past_fades():
    shares = UserShare(0.05)
    offered(shares, users=100, n=int(1.5 * HORIZON))
    before = shares.of("heavy")
    offered(shares, users=100, n=int(2 * HORIZON), heavy=0.0)
    assert shares.of("heavy") < before / 2


def many_of_little_weight(shares: UserShare, n: int, first: int = 0) -> list[float]:
    """What is admitted of so many users with a hundredth of a unit each, and of a heavy one between them."""
    return [
        shares.admit("heavy", 1.0) if number % 100 == 0 else shares.admit(f"light-{number}", 0.01)
        for number in range(first, first + n)
    ]


def test_users_of_little_weight_do_not_pile_up() -> None:
    shares = UserShare(0.05)
    for first in range(0, 4 * MOST_USERS, MOST_USERS // 2):
        many_of_little_weight(shares, MOST_USERS // 2, first)
        assert all(len(sums.weights) <= MOST_USERS for sums in shares.snapshot())


def test_who_moved_much_is_not_forgotten_among_many_who_moved_little() -> None:
    shares = UserShare(0.05)
    many_of_little_weight(shares, 3 * MOST_USERS)
    lately, draft = shares.snapshot()
    assert lately.weights["heavy"] == draft.weights["heavy"] == pytest.approx(0.05 * lately.total, rel=0.05)
    assert shares.admit("heavy", 10.0) < 0.1
    assert shares.admit("newcomer", 10.0) == 1.0


def test_resuming_where_users_are_forgotten_equals_running_through() -> None:
    whole, part = UserShare(0.05), UserShare(0.05)
    for number in range(6):
        expected = many_of_little_weight(whole, MOST_USERS // 3, number * MOST_USERS // 3)
        resumed = UserShare(0.05)
        resumed.restore(msgspec.json.decode(msgspec.json.encode(part.snapshot()), type=tuple[Sums, Sums]))
        part = resumed
        assert many_of_little_weight(part, MOST_USERS // 3, number * MOST_USERS // 3) == expected
        assert list(part.snapshot()[0].weights.items()) == list(whole.snapshot()[0].weights.items())


def test_resuming_equals_running_through():
    whole, part = UserShare(0.05), UserShare(0.05)
    for seed in range(4):
        expected = offered(whole, users=50, n=7_000, seed=seed)
        resumed = UserShare(0.05)
        resumed.restore(part.snapshot())
        part = resumed
        assert offered(part, users=50, n=7_000, seed=seed) == expected
