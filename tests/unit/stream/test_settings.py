from dataclasses import fields
from pathlib import Path

import pytest

from learner.query import TASKS
from schemas.environment import variable
from schemas.errors import SettingsError
from stream.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_other_variables_are_left_alone() -> None:
    assert Settings.from_env({"PATH": "/bin", "FRESHRANK_DATA": "/data"}) == Settings()


def test_each_kind_of_value_is_parsed() -> None:
    settings = Settings.from_env(
        {
            "FRESHRANK_BROKER": "kafka-1:9092,kafka-2:9092",
            "FRESHRANK_PARTITIONS": "8",
            "FRESHRANK_WINDOW_S": "30.5",
            "FRESHRANK_ROLES": "label, score",
        }
    )
    assert settings.broker == "kafka-1:9092,kafka-2:9092"
    assert settings.partitions == 8
    assert settings.window_s == 30.5
    assert settings.roles == ("label", "score")


def test_the_environment_of_a_child_process_makes_the_same_settings() -> None:
    settings = Settings(partitions=2, roles=("label",), window_s=1.5, prefix="t.", broker="[::1]:9092")
    assert Settings.from_env(settings.to_env()) == settings


def test_database_and_base_default_into_the_state_directory() -> None:
    settings = Settings(state_dir="/var/lib/freshrank")
    assert settings.database_url == "sqlite:////var/lib/freshrank/freshrank.db"
    assert settings.base_dir == Path("/var/lib/freshrank/base")


def test_database_and_base_can_be_given() -> None:
    settings = Settings(database="postgresql://db/freshrank", base="/models/base")
    assert settings.database_url == "postgresql://db/freshrank"
    assert settings.base_dir == Path("/models/base")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broker", "localhost"),
        ("broker", "localhost:70000"),
        ("broker", ""),
        ("prefix", "no spaces"),
        ("partitions", "four"),
        ("partitions", "0"),
        ("replication", "0"),
        ("group", ""),
        ("window_s", "0.0"),
        ("window_s", "0.0004"),
        ("window_s", "nan"),
        ("window_s", "inf"),
        ("lateness_s", "-1.0"),
        ("windows", "feed=0.0004"),
        ("roles", ""),
        ("roles", "label,cook"),
        ("roles", "score,evaluate"),
        ("web_port", "0"),
        ("web_port", "70000"),
        ("refresh_k", "501"),
        ("utility", "click"),
        ("utility", "views=1"),
        ("utility", "click=nan"),
        ("utility", "click=0,like=0"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_with_its_name_and_value(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable(name)}: expected .*, got") as caught:
        Settings.from_env({variable(name): text})
    assert repr(text) in str(caught.value)


def test_what_outcomes_are_worth_is_a_setting_for_every_task() -> None:
    assert Settings().worth == {"click": 0.4, "satisfied": 0.5, "like": 0.3, "negative": -1.0}
    settings = Settings.from_env({"FRESHRANK_UTILITY": "satisfied=0.5,click=1"})
    assert settings.worth == {"click": 1.0, "satisfied": 0.5, "like": 0.0, "negative": 0.0}
    assert Settings().worth.keys() == set(TASKS)


def test_every_field_says_what_it_is_for() -> None:
    assert all(spec.metadata["help"] for spec in fields(Settings))
