import pytest

from stream.watermark import Watermark


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
