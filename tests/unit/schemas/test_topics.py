"""The table of topics, against what joins and retention need of it."""

import pytest

from schemas import topics
from schemas.topics import TOPICS, Topic


def test_names_are_unique_and_legal_in_kafka() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() and name == name.lower() for name in names)


def test_every_topic_of_the_module_is_in_the_table() -> None:
    declared = {value.name for value in vars(topics).values() if isinstance(value, Topic)}
    assert declared == {topic.name for topic in TOPICS}


def test_topics_of_a_user_are_co_partitioned_and_no_other() -> None:
    assert {topic.name for topic in TOPICS if topic.co_partitioned} == {
        topic.name for topic in TOPICS if topic.key == "user_id"
    }
    assert {"impressions", "clicks", "dwells", "feedback", "searches"} == {t.name for t in topics.USER_EVENTS}
    assert all(topic.co_partitioned for topic in topics.USER_EVENTS)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_only_what_is_compacted_alone_is_kept_for_ever(topic: Topic) -> None:
    assert (topic.retention_ms is None) == (topic.cleanup == "compact")
    assert ("retention.ms" in topic.config()) == (topic.retention_ms is not None)
    assert topic.config()["cleanup.policy"] == topic.cleanup


def test_events_are_kept_as_long_as_they_are_accepted() -> None:
    assert all(topic.retention_ms == topics.RETENTION_MS for topic in topics.USER_EVENTS)


def test_only_dead_letters_hold_bytes_that_are_no_record() -> None:
    assert [topic.name for topic in TOPICS if topic.record is None] == ["dead-letters"]


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, None), (2, "1"), (3, "2")])
def test_what_is_acknowledged_outlives_a_broker_and_writing_goes_on_without_it(
    replicas: int, in_sync: str | None
) -> None:
    assert {topic.config(replicas).get("min.insync.replicas") for topic in TOPICS} == {in_sync}
