"""Who asked to be forgotten stays so, whatever is read later or again."""

import asyncio

from schemas.codec import encode
from schemas.events import Search
from schemas.labels import Session
from stream.expiry import ROUND_MS
from stream.sessions import EXPIRY_MS, as_of
from tests.labeller_world import World, clicked, shown
from tests.worker_fakes import inbound


def test_who_was_erased_stays_so_when_what_they_did_is_read_again_or_only_then():
    async def read(world: World) -> None:
        await world.take(inbound("impressions", shown(1_000), offset=4, timestamp=1_000))
        await world.take(inbound("clicks", clicked(1_100), offset=9, timestamp=1_100))
        await world.tick()

    async def scenario(world: World, reads: int) -> None:
        for _ in range(reads):
            await read(world)
        world.sessions.erase("user", ts=2_000)
        world.labeller.start_over()
        await read(world)
        state = world.sessions.get("user")
        assert state is not None
        assert as_of(state, 9_000) == Session()
        searched = encode(Search(event_id="s", user_id="user", ts=2_001, query="jazz"))
        await world.take(inbound("searches", searched, timestamp=2_001))
        assert as_of(world.sessions.get("user"), 9_000).query == "jazz", "who comes back is known"

    for reads in range(2):
        asyncio.run(scenario(World(), reads))


def test_of_who_was_erased_nothing_is_left_once_nothing_older_can_be_read():
    async def scenario(world: World) -> None:
        world.sessions.erase("user", ts=EXPIRY_MS)
        for number in range(3):
            ts = EXPIRY_MS + number * ROUND_MS
            searched = encode(Search(event_id=f"s{number}", user_id="other", ts=ts, query="jazz"))
            await world.take(inbound("searches", searched, offset=number, timestamp=ts))
            await world.tick()
            await world.tick()

    world = World()
    asyncio.run(scenario(world))
    assert set(world.table.data) == {b"other"}
