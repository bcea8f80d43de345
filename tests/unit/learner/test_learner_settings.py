from pathlib import Path

import pytest

from learner.settings import LearnerSettings
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


@pytest.mark.parametrize(
    ("variable", "text"),
    [
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
