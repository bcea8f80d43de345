from stream.dedup import Seen


def test_once_within_the_horizon_and_bounded_beyond_it():
    seen = Seen(horizon_ms=100)
    seen.advance(0)
    assert seen.is_new("clicks", "e")
    assert not seen.is_new("clicks", "e")
    assert seen.is_new("dwells", "e")
    seen.advance(100)
    assert not seen.is_new("clicks", "e")
    seen.advance(200)
    assert len(seen) == 0
