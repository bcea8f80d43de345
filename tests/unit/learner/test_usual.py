"""What a checkpoint's losses are measured by, where weights were gone back to."""

import pytest

from learner.usual import NO_WORLD, Losses, MeanLoss


@pytest.mark.parametrize(
    ("first", "expected"),
    [(0.1, 0.2), (3.0, 3.0), (1e8, NO_WORLD), (float("inf"), NO_WORLD), (float("nan"), 0.2)],
    ids=["a usual one", "another world", "poison", "poison without end", "no number"],
)
def test_the_first_loss_after_going_back_counts_as_usual_up_to_what_any_world_costs(
    first: float, expected: float
) -> None:
    losses = Losses()
    losses.restore(0.2)
    for loss in (first, 1e9):
        losses.add(MeanLoss(loss, 10))
    assert losses.expected == expected


def test_it_does_so_for_one_checkpoint() -> None:
    losses = Losses()
    losses.restore(0.2)
    losses.add(MeanLoss(3.0, 10))
    losses.publish()
    usual = losses.usual
    losses.add(MeanLoss(9.0, 10))
    assert losses.expected == usual == pytest.approx(0.9 * 0.2 + 0.1 * 3.0)
