"""Empty fetches come back a little later, everything else at once; what leaves partitions out is not held."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.fetch import FetchRequest_v4 as FETCH_STRUCT

from stream.fetching import PARTIAL_MS, is_empty, patient

NOTHING = SimpleNamespace(topics=[("clicks", [(0, 0, 7, 7, b"")])])
RECORDS = SimpleNamespace(topics=[("clicks", [(0, 0, 7, 7, b""), (1, 0, 9, 9, b"records")])])
FETCH = FetchRequest(max_wait_time=1, min_bytes=1, max_bytes=1, isolation_level=0, topics=[])


def test_a_fetch_is_empty_when_no_partition_has_records():
    assert is_empty(NOTHING)
    assert not is_empty(RECORDS)


@pytest.mark.parametrize(
    ("request_", "response", "waits"),
    [(FETCH, NOTHING, True), (FETCH, RECORDS, False), (object(), NOTHING, False)],
)
def test_only_an_empty_fetch_waits(request_, response, waits):
    async def send(node_id, request, *, group):
        assert (node_id, request, group) == (1, request_, 2)
        return response

    async def scenario() -> bool:
        task = asyncio.create_task(
            patient(send, lambda: None, lambda: None, lambda: False, pause_s=3600)(1, request_, group=2)
        )
        done, _ = await asyncio.wait([task], timeout=0.05)
        task.cancel()
        return not done

    assert asyncio.run(scenario()) is waits


@pytest.mark.parametrize(("is_partial", "held_ms"), [(True, PARTIAL_MS), (False, 1_500)])
def test_only_a_fetch_of_all_partitions_is_held_by_the_broker(is_partial, held_ms):
    request = FetchRequest(max_wait_time=1_500, min_bytes=1, max_bytes=1, isolation_level=0, topics=[])
    held = []

    async def send(node_id, request):
        held.append(request.build(FETCH_STRUCT).max_wait_time)
        return RECORDS

    asyncio.run(patient(send, lambda: None, lambda: None, lambda: is_partial)(1, request))
    assert held == [held_ms]
