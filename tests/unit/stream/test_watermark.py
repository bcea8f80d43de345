import pytest

from stream.watermark import SLACK_MS, Watermark


@pytest.fixture
def watermark():
    return Watermark(lateness_ms=10)


def test_nothing_before_the_first_event(watermark):
    assert watermark.value(now_ms=5) is None


def test_the_newest_event_leads(watermark):
    watermark.observe("clicks", 100, now_ms=0)
    watermark.observe("impressions", 300, now_ms=0)
    assert watermark.value(now_ms=0) == 290


def test_an_unread_topic_holds_it(watermark):
    watermark.observe("clicks", 100, now_ms=0)
    watermark.observe("impressions", 300, now_ms=0)
    assert watermark.value(now_ms=1_000, unread=["clicks"]) == 90
    assert watermark.value(now_ms=0, unread=[]) == 290


def test_a_topic_of_which_nothing_was_read_holds_it_still(watermark):
    watermark.observe("clicks", 100, now_ms=0)
    assert watermark.value(now_ms=0, unread=["impressions"]) is None
    assert watermark.value(now_ms=0) == 90
    assert watermark.value(now_ms=50, unread=["impressions"]) == 90


def test_silence_moves_it_with_the_clock(watermark):
    watermark.observe("clicks", 100, now_ms=1_000)
    assert watermark.value(now_ms=1_600) == 690


def test_it_never_goes_back(watermark):
    watermark.observe("clicks", 100, now_ms=0)
    assert watermark.value(now_ms=500) == 590
    watermark.observe("clicks", 200, now_ms=500)
    assert watermark.value(now_ms=500) == 590


def test_what_a_topic_has_got_since_it_was_known_to_hold_nothing_is_not_taken_to_be_late(watermark):
    watermark.observe("impressions", 100, now_ms=1_000)
    watermark.observe("impressions", 5_000, now_ms=2_000)
    before, after = 2_000 + SLACK_MS - 1, 2_000 + SLACK_MS
    assert watermark.value(now_ms=2_000, ended={"clicks": 900, "impressions": 2_000}) is None
    assert watermark.value(now_ms=2_000, ended={"clicks": before, "impressions": after}) == 90
    assert watermark.value(now_ms=2_000, ended={"clicks": after, "impressions": after}) == 4_990


def test_the_slowest_holds_it_be_it_unread_or_not_asked_lately(watermark):
    watermark.observe("impressions", 100, now_ms=1_000)
    watermark.observe("impressions", 700, now_ms=2_000)
    watermark.observe("clicks", 400, now_ms=2_000)
    asked = {"feedback": 1_000 + SLACK_MS, "clicks": 9_000}
    assert watermark.value(now_ms=2_000, unread=["clicks"], ended=asked) == 90
    assert watermark.value(now_ms=2_000, unread=["clicks"], ended={"feedback": 9_000}) == 390
