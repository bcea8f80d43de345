import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional

from learner.losses import pointwise, proximal, sampled_softmax

SEEDS = st.integers(0, 2**31)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(seed=SEEDS)
def test_pointwise_ignores_masked_tasks(seed: int) -> None:
    logits, weights = normal(seed, 6, 4), normal(seed + 1, 6, 4).relu()
    targets = (normal(seed + 2, 6, 4) > 0).float()
    changed = torch.where(weights == 0, 1 - targets, targets)
    assert torch.equal(pointwise(logits, targets, weights), pointwise(logits, changed, weights))


def test_pointwise_with_unit_weights_is_the_sum_over_tasks() -> None:
    logits, targets = normal(0, 6, 4), (normal(1, 6, 4) > 0).float()
    expected = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
    torch.testing.assert_close(pointwise(logits, targets, torch.ones(6, 4)), expected)


def test_pointwise_of_nothing_is_zero_and_has_no_gradient() -> None:
    logits = normal(0, 3, 2).requires_grad_()
    loss = pointwise(logits, torch.ones(3, 2), torch.zeros(3, 2)).sum()
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@given(seed=SEEDS)
def test_sampled_softmax_over_all_others_is_the_full_softmax(seed: int) -> None:
    scores = normal(seed, 5, 9)
    sampled = sampled_softmax(scores[:, 0], scores[:, 1:], torch.zeros(8))
    full = functional.cross_entropy(scores, torch.zeros(5, dtype=torch.int64), reduction="none")
    torch.testing.assert_close(sampled, full)


def test_sampled_softmax_leaves_out_what_was_not_drawn() -> None:
    scores, none = normal(0, 2, 4), float("inf")
    log_q = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -2.0, none]])
    fewer = sampled_softmax(scores[1:, 0], scores[1:, 1:3], log_q[1:, :2])
    torch.testing.assert_close(sampled_softmax(scores[:, 0], scores[:, 1:], log_q)[1:], fewer)


def test_sampled_softmax_corrects_for_popularity() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, q = torch.randn(40, generator=generator), torch.rand(40, generator=generator).softmax(0)
    drawn = torch.multinomial(q, 200_000, replacement=True, generator=generator)
    sampled = sampled_softmax(torch.zeros(1), scores[drawn][None], (len(drawn) * q[drawn]).log())
    full = functional.cross_entropy(
        torch.cat([torch.zeros(1), scores])[None], torch.zeros(1, dtype=torch.int64)
    )
    assert sampled.item() == pytest.approx(full.item(), abs=0.01)


@given(seed=SEEDS)
def test_proximal_is_the_divergence_of_bernoullis(seed: int) -> None:
    logits, published = normal(seed, 8, 3), normal(seed + 1, 8, 3)
    expected = kl_divergence(Bernoulli(logits=published), Bernoulli(logits=logits)).mean()
    torch.testing.assert_close(proximal(logits, published), expected, rtol=1e-4, atol=1e-5)


def test_proximal_is_finite_far_out_and_leaves_the_published_alone() -> None:
    logits, published = (
        torch.tensor([80.0, -80.0]).requires_grad_(),
        torch.tensor([-80.0, 80.0]).requires_grad_(),
    )
    loss = proximal(logits, published)
    loss.backward()
    assert loss.item() == pytest.approx(80)
    assert published.grad is None
