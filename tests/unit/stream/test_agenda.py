from hypothesis import given
from hypothesis import strategies as st

from stream.agenda import CLOSE, DWELL, Agenda, Due

TIMES = st.integers(0, 20)


def due(ts: int, number: int) -> Due:
    return ts, DWELL, f"e{number}", "r", "i", "dwell", 0.0, "u"


@given(st.lists(st.tuples(TIMES, st.booleans())), TIMES)
def test_takes_out_in_order_whatever_order_things_came_in(coming: list[tuple[int, bool]], until: int):
    agenda = Agenda()
    for number, (ts, is_timer) in enumerate(coming):
        if is_timer:
            agenda.remind(ts, CLOSE, f"r{number}")
        else:
            agenda.add(due(ts, number))
    first = list(agenda.before(until))
    assert first == sorted(first)
    assert len(first) == sum(ts < until or (ts == until and is_timer) for ts, is_timer in coming)
    rest = list(agenda.before(99))
    assert len(first) + len(rest) == len(coming)
    assert len(agenda) == 0
    assert rest == sorted(rest)


def test_what_is_put_in_meanwhile_has_its_turn():
    agenda = Agenda()
    agenda.add(due(5, 0))
    seen = []
    for one in agenda.before(9):
        seen.append(one[0])
        if len(seen) == 1:
            agenda.add(due(3, 1))
            agenda.remind(8, CLOSE)
            agenda.remind(9, DWELL)
    assert seen == [5, 3, 8]
    assert len(agenda) == 1
