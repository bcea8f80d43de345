"""A log directory read as labels: in the order of observation, and nothing of what was not known by then."""

from schemas.events import Item
from schemas.topics import USER_EVENTS
from stream.join_settings import JoinSettings
from stream.labelled_log import read_labels
from stream.logs import write_log
from tests.synthetic import log, topic_of, world

JOIN = JoinSettings(window_ms=60_000, lateness_ms=1_000)


def planted(directory):
    made = world(n_users=6, n_items=24)
    events = log(made, n_slates=80, slate_size=4)
    for topic in USER_EVENTS:
        write_log(directory, topic.name, (event for event in events if topic_of(event) == topic.name))
    return made.items, events


def test_labels_come_in_the_order_in_which_they_were_observed(tmp_path):
    items, events = planted(tmp_path)
    labels = list(read_labels(tmp_path, items, join=JOIN))
    finals = [label.observed_ts for label in labels if all(outcome.final for outcome in label.outcomes)]
    assert finals == sorted(finals)
    assert len(finals) > 60
    assert {label.user_id for label in labels} <= {event.user_id for event in events}


def test_a_part_of_a_log_gives_the_first_labels_of_the_whole(tmp_path):
    items, events = planted(tmp_path)
    split = events[len(events) // 2].ts
    whole = list(read_labels(tmp_path, items, join=JOIN))
    part = list(read_labels(tmp_path, items, split, JOIN))
    assert 0 < len(part) < len(whole)
    assert part == whole[: len(part)]
    assert all(label.observed_ts < split for label in part)


def test_durations_of_the_catalogue_decide_what_satisfies(tmp_path):
    items, _ = planted(tmp_path)
    unknown = [Item(item_id=item.item_id, ts=0, title="") for item in items]
    assert list(read_labels(tmp_path, items, join=JOIN)) != list(read_labels(tmp_path, unknown, join=JOIN))
