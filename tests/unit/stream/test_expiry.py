"""Users who are long gone are forgotten, and no label shows when."""

import msgspec

from stream.expiry import ROUND_MS, Rounds
from stream.folding import PartitionFold
from stream.join_settings import JoinSettings
from stream.offline import label
from stream.session_table import SessionTable
from stream.sessions import EXPIRY_MS, SessionState, as_of, fold
from tests.makers import click, impression
from tests.worker_fakes import FakeTable

STEP_MS = EXPIRY_MS // 500
DAY_MS = 86_400_000


def test_a_log_of_users_who_come_once_keeps_at_most_twice_those_of_a_season():
    events = [impression(f"r{n}", (n + 1) * STEP_MS, user_id=f"u{n}") for n in range(3_000)]
    sessions: dict[str, SessionState] = {}
    most = 0
    for _ in label(events, PartitionFold(JoinSettings(), sessions, lambda _: None), every=20):
        most = max(most, len(sessions))
    assert 500 <= most <= 2 * 500


def test_a_round_is_finished_before_the_next_begins():
    looked_at = []
    rounds: Rounds[str] = Rounds()
    for day in range(8):
        rounds.expired("abcde", looked_at.append, day * 10 * DAY_MS, number=2)
    assert "".join(looked_at) == "abcdeabcdeabcd"


def test_who_comes_back_after_so_long_begins_anew_deleted_or_not():
    late = EXPIRY_MS + 10
    kept, new = SessionState(), SessionState()
    for event in (impression("r", 1), click("r", 2)):
        fold(kept, event)
    for state in (kept, new):
        fold(state, click("s", late))
    assert as_of(kept, late + 1) == as_of(new, late + 1)
    assert as_of(kept, late + 1).counters == {"clicks": 1}


def test_the_table_of_sessions_lets_go_of_who_is_long_gone():
    table = FakeTable()
    sessions = SessionTable(table)
    for user, ts in (("gone", 5), ("back", 6), ("here", EXPIRY_MS)):
        sessions.put(user, fold(SessionState(), click("r", ts, user_id=user)))
    sessions.write(["gone", "back", "here"])
    table.data[b"of old"] = msgspec.msgpack.encode(msgspec.structs.astuple(SessionState())[:-1])
    sessions.clear()
    state = sessions.get("back")
    assert state is not None
    fold(state, click("s", EXPIRY_MS))  # not written yet
    assert sessions.expire(EXPIRY_MS + 4, number=9) == []
    erased = sessions.expire(EXPIRY_MS + 4 + ROUND_MS, number=9)
    assert [(one.key, one.value) for one in erased] == [(b"gone", None)]
    assert set(table.data) == {b"back", b"here", b"of old"}
    assert sessions.get("gone") is None
