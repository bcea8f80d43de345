"""One account in twenty is a robot: what is learned of the item that they push is nearly what it would be."""

import numpy as np
import pytest

from tests.planted_attack import KINDS, attack, click_rate, labels, trust_of


@pytest.mark.parametrize("kind", KINDS)
def test_trust_takes_most_of_an_attack_away_and_leaves_people_alone(kind):
    planted = attack(kind, n_slates=4_000, seed=1)
    quiet = labels(planted, planted.honest, trust=True)
    attacked, defended = (labels(planted, planted.attacked, trust=trust) for trust in (False, True))
    before, moved, held = (click_rate(told, planted.target) for told in (quiet, attacked, defended))
    assert moved > before + 0.3
    assert held - before < 0.2 * (moved - before)
    people, robots = (np.array(trust_of(defended, who)) for who in ("user", "robot"))
    assert (people < 0.5).mean() < 0.01
    assert robots[len(robots) // 2 :].mean() < 0.5
