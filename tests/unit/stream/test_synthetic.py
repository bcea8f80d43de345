from schemas.events import Click, Impression
from tests.synthetic import log, world


def test_the_planted_world_is_what_it_says():
    planted = world(8, 40)
    events = log(planted, 500, 5)
    assert events == log(planted, 500, 5)
    assert [event.ts for event in events] == sorted(event.ts for event in events)
    assert len({event.event_id for event in events}) == len(events)
    clicks = [event for event in events if isinstance(event, Click)]
    liked = [click for click in clicks if planted.kind_of[click.item_id] == planted.likes[click.user_id]]
    assert len(liked) / len(clicks) > 0.7  # 0.6/4 against 0.05·3/4
    assert sum(isinstance(event, Impression) for event in events) == 500
