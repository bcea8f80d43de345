from dataclasses import asdict
from pathlib import Path

import pytest

from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas.errors import SettingsError


def test_the_defaults_run_on_a_laptop() -> None:
    settings = LearnerSettings.from_env({})
    assert settings.broker == "127.0.0.1:9092"
    assert settings.base_dir == Path(".freshrank/base")
    assert settings.snapshot_dir("b1") == ".freshrank/snapshots/default/b1"


def test_variables_are_parsed_to_the_type_of_their_default() -> None:
    environ = {
        "FRESHRANK_PUBLISH_MS": "250",
        "FRESHRANK_SNAPSHOT_S": "1.5",
        "FRESHRANK_SNAPSHOTS": "s3://bucket/x/",
        "FRESHRANK_BASE": "/models/base",
        "PUBLISH_MS": "1",
    }
    settings = LearnerSettings.from_env(environ)
    assert (settings.publish_ms, settings.snapshot_s) == (250, 1.5)
    assert settings.snapshot_dir("b1") == "s3://bucket/x/default/b1"
    assert settings.base_dir == Path("/models/base")


def test_the_environment_says_how_weights_are_updated() -> None:
    environ = {"FRESHRANK_BETA": "0.9", "FRESHRANK_RANK": "12", "FRESHRANK_CLEAR_MOMENTS": "false"}
    settings = LearnerSettings.from_env(environ)
    assert isinstance(settings, UpdateSettings)
    assert (settings.beta, settings.rank, settings.clear_moments) == (0.9, 12, False)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("FRESHRANK_STEP", "-1.0"),
        ("FRESHRANK_BETA", "1.0"),
        ("FRESHRANK_MEAN_RANK", "7"),
        ("FRESHRANK_LEDGER", "0"),
        ("FRESHRANK_REPLAY_HORIZON", "100"),
        ("FRESHRANK_EXCHANGE", "1.5"),
        ("FRESHRANK_CLEAR_MOMENTS", "perhaps"),
        ("FRESHRANK_USER_SHARE", "0.0"),
        ("FRESHRANK_PUBLISH_MS", "soon"),
        ("FRESHRANK_PUBLISH_MS", "0"),
        ("FRESHRANK_SNAPSHOT_S", "inf"),
        ("FRESHRANK_SNAPSHOT_S", "-1.0"),
        ("FRESHRANK_MODEL", ""),
        ("FRESHRANK_SEED", "-1"),
    ],
)
def test_a_setting_that_cannot_work_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: expected .*, got '{text}'"):
        LearnerSettings.from_env({variable: text})


def test_how_weights_are_updated_by_default_changes_only_on_purpose() -> None:
    """Each was chosen on a warm-up part or proven in a planted world; figures were read with these."""
    assert asdict(UpdateSettings()) == {
        "rank": 6,
        "mean_rank": 4,
        "step": 1e-4,
        "dense_step": 3e-4,
        "row_step": 0.005,
        "ledger": 100_000,
        "replay": 0.5,
        "replay_memory": 4_096,
        "replay_horizon": 16_384,
        "orthogonality": 0.05,
        "beta": 0.99,
        "allocate_every": 50,
        "descent_examples": 20_000,
        "exchange": 0.05,
        "clear_moments": True,
        "bfloat16": False,
        "compile": False,
        "clip": 5.0,
        "closeness": 0.0,
        "consolidate_every": 0,
        "consolidate_below": 0.0,
        "user_share": 0.05,
        "alarm": 0.002,
        "boost": 60.0,
        "admit_after": 1,
    }
