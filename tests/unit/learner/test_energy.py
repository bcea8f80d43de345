"""When an adapter is settled: the energy that its allocations prune, and the policy that goes by it."""

import math
from dataclasses import replace

import pytest
import torch

from learner.adapter import adapt, low_rank_layers, to_lora
from learner.energy import energies, pruned_share
from learner.online import OnlineLearner
from learner.update_settings import UpdateSettings
from tests.tastes import ITEMS, base, born, slates
from tests.tiny import embed

BATCH = 32
SETTINGS = UpdateSettings(
    replay_memory=128, replay_horizon=256, allocate_every=2, descent_examples=100, consolidate_below=0.8
)


def adapted() -> torch.nn.Module:
    module = torch.nn.Sequential(torch.nn.Embedding(9, 6), torch.nn.Linear(6, 5))
    adapt(module, 3, 2.0, torch.Generator().manual_seed(0), lambda _name, _layer: True)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return module


def test_a_triplets_energy_is_the_norm_of_what_it_adds() -> None:
    layers = low_rank_layers(adapted())
    for name, layer in layers.items():
        a, b = to_lora(layer)
        alone = [(b[:, i : i + 1] @ a[i : i + 1]).square().sum() for i in range(3)]
        torch.testing.assert_close(energies(layers)[name], torch.stack(alone))


def test_an_adapter_that_adds_nothing_has_no_share_to_lose() -> None:
    nothing = {"w": torch.zeros(2)}
    assert math.isnan(pruned_share(nothing, {"w": torch.tensor([True, False])}))


def folded_at(settings: UpdateSettings, batches: int = 16) -> list[int]:
    """After how many slates each checkpoint came that was folded into the base."""
    online = OnlineLearner(base(), embed, settings, seed=0)
    online.put_items(ITEMS)
    folded = []
    for number in range(batches):
        before = online.base_hash
        online.learn(slates(BATCH, 3, born, first=10_000 + number * BATCH))
        if online.base_hash != before:
            folded.append(number * BATCH)
        online.checkpoint()
    return folded


def test_a_settled_adapter_is_folded_when_the_budget_is_down() -> None:
    first, second, *_ = folded_at(SETTINGS)
    assert first > SETTINGS.descent_examples < second - first


@pytest.mark.parametrize("change", [{"consolidate_below": 0.0}, {"descent_examples": 10_000}])
def test_an_adapter_that_is_not_is_not(change: dict[str, float]) -> None:
    assert folded_at(replace(SETTINGS, **change)) == []


def test_what_allocations_prune_outlives_a_restart() -> None:
    through, resumed = (OnlineLearner(base(), embed, SETTINGS, seed=0) for _ in range(2))
    through.put_items(ITEMS)
    for number in range(6):
        through.learn(slates(BATCH, 3, born, first=10_000 + number * BATCH))
    resumed.restore(through.snapshot().payload)
    assert resumed._updater.pruned_energy == through._updater.pruned_energy < 1
