"""Topics, and the doctor that looks at them, against real brokers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from learner.base import save_base
from schemas.access import Access
from schemas.codec import MAX_BYTES
from schemas.errors import BrokerError
from schemas.topics import CLICKS, MODELS, TOPICS
from stream.administration import Status, create_topics, list_topics, message_bytes, open_admin
from stream.cli import main
from stream.doctor import Check, examine
from stream.process import HOST, free_port
from stream.settings import Settings
from tests.tiny import base


@pytest.fixture
def settings(broker: str, prefix: str, tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(broker=broker, prefix=prefix, partitions=3, state_dir=str(tmp_path / "state"))
    yield settings
    with open_admin(Access(broker=broker)) as admin:
        made = [name for name in admin.list_topics() if name.startswith(prefix)]
        if made:
            admin.delete_topics(made)


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    return Settings(broker=f"{HOST}:{free_port()}", state_dir=str(tmp_path / "state"))


def test_topics_are_created_once_and_found_afterwards(settings: Settings) -> None:
    assert {report.status for report in list_topics(settings)} == {Status.MISSING}
    assert {report.status for report in create_topics(settings)} == {Status.CREATED}
    assert {report.status for report in create_topics(settings)} == {Status.EXISTING}
    assert list_topics(settings) == create_topics(settings)


def test_a_missing_topic_is_made_beside_those_that_are_there(settings: Settings) -> None:
    clicks = settings.prefix + CLICKS.name
    with open_admin(settings) as admin:
        admin.create_topics({clicks: {"num_partitions": 3, "replication_factor": 1}})
        admin.wait_for_topics([clicks])
    reports = {report.name: report.status for report in create_topics(settings)}
    assert reports.pop(clicks) is Status.EXISTING
    assert set(reports.values()) == {Status.CREATED}


def test_user_topics_are_co_partitioned_and_models_keep_one_order(settings: Settings) -> None:
    partitions = {report.name: report.partitions for report in create_topics(settings)}
    assert {partitions[settings.prefix + topic.name] for topic in TOPICS if topic.co_partitioned} == {3}
    assert partitions[settings.prefix + MODELS.name] == 1


def test_another_partition_count_is_reported_and_left_alone(settings: Settings) -> None:
    create_topics(settings)
    reports = create_topics(replace(settings, partitions=5))
    wrong = {report.name for report in reports if report.status is Status.WRONG_PARTITIONS}
    assert wrong == {settings.prefix + topic.name for topic in TOPICS if topic.co_partitioned}
    assert {report.partitions for report in reports} == {1, 3}


def test_topics_take_the_largest_record_and_are_kept_as_the_table_says(settings: Settings) -> None:
    create_topics(settings)
    limits = message_bytes(settings)
    assert limits.keys() == {settings.prefix + topic.name for topic in TOPICS}
    assert min(limits.values()) >= MAX_BYTES


def failures(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in examine(settings) if not check.ok}


def test_the_doctor_finds_nothing_wrong_where_nothing_is(settings: Settings) -> None:
    create_topics(settings)
    save_base(base(), settings.base_dir)
    assert failures(settings) == {}


def test_the_doctor_names_what_is_missing_and_what_makes_it(settings: Settings) -> None:
    found = failures(settings)
    assert found.keys() == {"topics", "base"}
    assert settings.prefix + CLICKS.name in found["topics"].found
    assert "freshrank topics create" in found["topics"].advice
    assert "freshrank backfill" in found["base"].advice


def test_the_doctor_sees_topics_of_unequal_partition_counts(settings: Settings) -> None:
    with open_admin(settings) as admin:
        admin.create_topics({settings.prefix + CLICKS.name: {"num_partitions": 2, "replication_factor": 1}})
    create_topics(settings)
    assert f"{settings.prefix}{CLICKS.name} 2, expected 3" in failures(settings)["partition counts"].found


def test_the_doctor_sees_a_topic_whose_messages_are_too_small(settings: Settings) -> None:
    small = {"num_partitions": 3, "replication_factor": 1, "configs": {"max.message.bytes": "1000"}}
    with open_admin(settings) as admin:
        admin.create_topics({settings.prefix + CLICKS.name: small})
    create_topics(settings)
    assert failures(settings)["message size"].found == f"{settings.prefix}{CLICKS.name} 1,000"


def test_the_doctor_says_that_there_is_no_broker(nowhere: Settings) -> None:
    found = failures(nowhere)
    assert nowhere.broker in found["broker"].found
    assert "FRESHRANK_BROKER" in found["broker"].advice


@pytest.mark.parametrize("url", ["sqlite:////dev/null/no/such.db", "no url", "oracle://host/name"])
def test_the_doctor_says_that_the_database_does_not_open(nowhere: Settings, url: str) -> None:
    assert failures(replace(nowhere, database=url))["database"].advice


def test_no_broker_is_an_error_that_names_its_address(nowhere: Settings) -> None:
    with pytest.raises(BrokerError, match=nowhere.broker):
        list_topics(nowhere)


def test_the_command_makes_the_topics_and_fails_where_they_are_wrong(settings: Settings) -> None:
    options = ["--broker", settings.broker, "--prefix", settings.prefix]
    run = CliRunner(env={"FRESHRANK_PARTITIONS": "2", "COLUMNS": "120"}).invoke
    assert run(main, ["topics", "list", *options]).exit_code == 1
    created = run(main, ["topics", "create", *options])
    assert created.exit_code == 0
    assert settings.prefix + CLICKS.name in created.output
    assert run(main, ["topics", "list", *options]).exit_code == 0
    assert run(main, ["topics", "list", *options], env={"FRESHRANK_PARTITIONS": "7"}).exit_code == 1


def test_commands_show_what_was_expected_and_no_traceback(nowhere: Settings) -> None:
    shown = CliRunner().invoke(main, ["topics", "list", "--broker", nowhere.broker])
    assert shown.exit_code == 1
    assert shown.output.startswith(f"Error: {nowhere.broker}: expected a Kafka broker")


def test_the_doctor_command_fails_with_a_table(nowhere: Settings) -> None:
    shown = CliRunner(env={"COLUMNS": "200", **nowhere.to_env()}).invoke(main, ["doctor"])
    assert shown.exit_code == 1
    assert "fail" in shown.output
