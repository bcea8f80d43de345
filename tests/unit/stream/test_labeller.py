import asyncio

from schemas.codec import decode, encode
from schemas.events import Click, Search
from schemas.trace import HEADER, Trace
from stream.evidence_table import EvidenceTable
from stream.folding import PartitionFold
from stream.labeller import LEAD_MS, SLICE, STALLED_MS
from stream.session_table import SessionTable
from stream.sessions import EXPIRY_MS, SessionState
from tests.labeller_world import JOIN, World, clicked, shown
from tests.worker_fakes import FakeTable, inbound


def test_a_click_leaves_at_once_with_its_stamps():
    async def scenario(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000), timestamp=1_005))
        await world.take(inbound("clicks", clicked(1_100), timestamp=1_105))

    world = World()
    asyncio.run(scenario(world))
    (label,) = world.labels()
    assert [(o.item_id, o.clicked, o.final) for o in label.outcomes] == [("a", True, False)]
    (sent,) = world.producer.on("p.labels")
    assert sent.key == b"user"
    assert decode(Trace, sent.headers[HEADER]) == Trace(event=1_105, label=10_000)
    assert world.bystander.labels == [label]
    assert len(world.bystander.events) == 2


def test_what_is_not_keyed_by_its_user_is_counted_and_told_of_once(caplog):
    async def scenario(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000)))
        for offset, key in enumerate((b"user", None, b"r", b"user ")):
            await world.take(inbound("clicks", clicked(1_100 + offset, f"r{offset}"), offset, key=key))

    world = World()
    asyncio.run(scenario(world))
    assert b'freshrank_miskeyed_total{topic="clicks"} 3.0' in world.metrics.expose()
    assert [record.message[:64] for record in caplog.records] == [
        "clicks[0]@1: expected the user id 'user' as the message's key, g"
    ]


def test_time_closes_a_slate_and_then_its_messages_are_committed():
    async def scenario(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000), offset=4, timestamp=1_000))
        await world.take(inbound("clicks", clicked(1_100), offset=9, timestamp=1_100))
        await world.tick()
        assert world.progress.committed == {("impressions", 0): 4, ("clicks", 0): 9}
        world.hear(*[1_000] * (3 * JOIN.horizon_ms // 1_000))
        await world.tick()

    world = World()
    asyncio.run(scenario(world))
    final = world.labels()[-1]
    assert [(o.item_id, o.clicked, o.final) for o in final.outcomes] == [
        ("a", True, True),
        ("b", False, True),
    ]
    assert world.progress.committed == {("impressions", 0): 5, ("clicks", 0): 10}


def test_a_slate_stays_open_while_the_broker_is_away():
    async def scenario(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000), timestamp=1_000))
        world.hear(2 * JOIN.horizon_ms)
        await world.tick()
        world.hear(*[1_000] * (JOIN.window_ms // 1_000))  # it is back: others send what they held
        await world.tick()
        await world.take(inbound("clicks", clicked(1_100), timestamp=1_100))

    world = World()
    asyncio.run(scenario(world))
    assert [outcome.final for label in world.labels() for outcome in label.outcomes] == [False]


def test_a_device_that_is_fast_does_not_close_the_slates_of_others():
    async def scenario(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000), timestamp=1_000))
        ahead = 1_100 + 5 * JOIN.horizon_ms
        await world.take(inbound("impressions", shown(ahead, "fast"), offset=1, timestamp=1_100))
        await world.take(inbound("clicks", clicked(1_200), timestamp=1_200))

    world = World()
    asyncio.run(scenario(world))
    assert [outcome.final for label in world.labels() for outcome in label.outcomes] == [False]


def test_nothing_is_committed_before_the_broker_has_the_labels():
    async def scenario(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000)))
        await world.take(inbound("clicks", clicked(1_100)))
        advancing = asyncio.create_task(world.tick())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not advancing.done()
        assert not world.progress.committed
        world.producer.deliver()
        await advancing
        assert world.progress.committed

    asyncio.run(scenario(World(slow=True)))


def test_what_cannot_be_read_becomes_one_dead_letter_and_the_partition_moves_on():
    async def scenario(world: World) -> None:
        await world.take(inbound("clicks", b"{", offset=3))
        await world.take(inbound("impressions", shown(1_000)))
        await world.take(inbound("clicks", clicked(1_100), offset=4))
        await world.tick()

    world = World()
    asyncio.run(scenario(world))
    (letter,) = world.producer.on("p.dead-letters")
    assert (letter.key, letter.value, letter.headers["offset"]) == (b"user", b"{", b"3")
    assert len(world.labels()) == 1
    assert world.progress.committed[("clicks", 0)] == 4


def test_sessions_are_written_once_a_batch_and_found_again_by_a_successor():
    async def scenario(world: World, events: int) -> None:
        await world.take(inbound("impressions", shown(1_000)))
        for number in range(events):
            click = Click(
                event_id=f"c{number}", request_id="r", user_id="user", item_id="a", ts=1_100 + number
            )
            await world.take(inbound("clicks", encode(click), offset=number))
        await world.tick()

    world = World()
    asyncio.run(scenario(world, events=20))
    (written,) = world.producer.on("changelog")
    assert (written.partition, written.key) == (0, b"user")
    successor = SessionTable(world.table)
    state = successor.get("user")
    assert state is not None
    assert [touch.item_id for touch in state.touches] == ["a"]


async def begin_commit(world: World) -> asyncio.Task[None]:
    """Let more users click than one portion holds, and return the commit once a portion is written."""
    for user in range(3 * SLICE):
        click = Click(event_id=f"c{user}", request_id="r", user_id=f"u{user}", item_id="a", ts=1_100)
        await world.take(inbound("clicks", encode(click), offset=user))
    committing = asyncio.create_task(world.labeller.commit())
    await asyncio.sleep(0)
    return committing


def test_messages_are_taken_while_sessions_are_written():
    async def scenario(world: World) -> None:
        committing = await begin_commit(world)
        assert 0 < len(world.producer.on("changelog")) < 3 * SLICE
        await world.take(inbound("impressions", shown(1_000)))
        await committing
        assert len(world.producer.on("changelog")) == 3 * SLICE
        assert ("impressions", 0) not in world.progress.committed

    asyncio.run(scenario(World()))


def test_a_rebalance_stops_a_commit():
    async def scenario(world: World) -> None:
        committing = await begin_commit(world)
        world.labeller.start_over()
        await committing
        assert len(world.producer.on("changelog")) < 3 * SLICE
        assert not world.progress.committed

    asyncio.run(scenario(World()))


def test_reading_again_after_a_rebalance_tells_the_same_labels():
    async def scenario(world: World) -> None:
        for _ in range(2):
            await world.take(inbound("impressions", shown(1_000)))
            await world.take(inbound("clicks", clicked(1_100)))
            await world.tick()
            world.labeller.start_over()

    world = World()
    asyncio.run(scenario(world))
    first, second = world.labels()
    assert first == second
    assert world.progress.cleared == 2


def test_a_message_that_waits_through_a_rebalance_is_left_to_be_read_again():
    async def scenario(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000)))
        async with world.labeller._turn:
            waiting = asyncio.create_task(world.take(inbound("clicks", clicked(1_100))))
            await asyncio.sleep(0)
            world.labeller.start_over()
        await waiting
        await world.tick()

    world = World()
    asyncio.run(scenario(world))
    assert not world.labels()
    assert not world.progress.committed


def test_what_the_stream_taught_is_written_before_a_commit_and_restored_by_a_successor():
    async def scenario(world: World) -> None:
        for number in range(4):
            ts = 1_000 + number * 2 * JOIN.horizon_ms
            await world.take(inbound("impressions", shown(ts, f"r{number}"), offset=number, timestamp=ts))
            await world.take(inbound("clicks", clicked(ts + 100, f"r{number}"), offset=number, timestamp=ts))
            await world.tick()

    world = World()
    asyncio.run(scenario(world))
    (*_, written) = world.producer.on("evidence")
    assert written.partition == 0
    assert EvidenceTable(world.evidence).get(0) == written.value
    fold = PartitionFold(JOIN, {}, lambda _: None)
    fold.restore_evidence(written.value)


def test_who_is_long_gone_is_erased_from_the_changelog_of_the_sessions():
    async def scenario(world: World) -> None:
        for number, (ts, user_id) in enumerate([(1_000, "gone"), (2 * EXPIRY_MS, "here")]):
            searched = encode(Search(event_id=f"s{number}", user_id=user_id, ts=ts, query="jazz"))
            await world.take(inbound("searches", searched, offset=number, timestamp=ts))
            await world.tick()
        await world.tick()
        await world.tick()

    world = World()
    asyncio.run(scenario(world))
    written = [(sent.key, not sent.value) for sent in world.producer.on("changelog")]
    assert written == [(b"gone", False), (b"here", False), (b"gone", True)]
    assert set(world.table.data) == {b"here"}


def test_a_partition_that_went_to_another_worker_is_measured_no_more():
    async def scenario(world: World) -> None:
        world.progress.unread = {"impressions": 7}
        await world.take(inbound("impressions", shown(1_000), partition=3))
        await world.labeller.advance()
        assert b'freshrank_lag{partition="3",topic="impressions"} 7.0' in world.metrics.expose()
        world.labeller.start_over()
        await world.labeller.advance()
        assert b'partition="3"' not in world.metrics.expose()

    asyncio.run(scenario(World()))


def test_a_topic_is_not_read_far_ahead_of_another_that_has_more():
    async def scenario(world: World) -> None:
        assert world.labeller.wants("p.clicks", 0)
        world.progress.unread = {"impressions": 7}
        await world.take(inbound("impressions", shown(1_000)))
        await world.take(inbound("clicks", clicked(1_100 + LEAD_MS), timestamp=9_000))
        assert not world.labeller.wants("p.clicks", 0)
        assert world.labeller.wants("p.impressions", 0)
        world.now += STALLED_MS
        world.progress.fetched = {"impressions"}  # they only wait for their turn
        assert not world.labeller.wants("p.clicks", 0)
        world.progress.fetched = set()
        assert world.labeller.wants("p.clicks", 0)
        world.progress.unread = {}
        await world.take(inbound("clicks", clicked(1_200 + LEAD_MS), offset=1))
        assert world.labeller.wants("p.clicks", 0)

    asyncio.run(scenario(World()))


def test_sessions_that_are_not_written_outlive_a_trim():
    sessions = SessionTable(FakeTable(), capacity=2)
    for user in ("old", "waiting", "new"):
        sessions.put(user, SessionState())
    sessions.trim(keep={"old"})
    assert len(sessions) == 3
    sessions.trim(keep={"waiting", "new"})
    assert len(sessions) == 2
    assert sessions.get("old") is None
