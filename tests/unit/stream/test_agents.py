import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.codec import encode
from schemas.events import Erasure
from stream.agent_lag import AgentLag
from stream.agents import Agents
from stream.keys import Keys
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.refuser import Refuser
from tests.worker_fakes import FakeProducer, FakeProgress


class Event:
    """A message as Faust hands it over."""

    def __init__(self, offset: int) -> None:
        value = encode(Erasure(event_id=f"e{offset}", user_id=f"u{offset}", ts=1_000))
        self.message = SimpleNamespace(
            topic="erasures", partition=0, offset=offset, key=b"u0", value=value, headers=(), timestamp=1.0
        )
        self.acknowledged = False

    def ack(self) -> None:
        self.acknowledged = True


class Stream:
    def __init__(self, events: list[Event]) -> None:
        self._events = events

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[Event]:
        for event in self._events:
            yield event


class App:
    """Keeps the agents that are registered with it."""

    def __init__(self) -> None:
        self.agents: dict[str, Callable[[Any], Any]] = {}

    def topic(self, *_: Any, **__: Any) -> None:
        return None

    def agent(self, _: Any, name: str) -> Callable[[Callable[[Any], Any]], None]:
        return lambda function: self.agents.update({name: function})


def test_what_an_agent_is_stopped_in_the_midst_of_is_not_acknowledged() -> None:
    erased: list[str] = []

    async def erase(_: int, erasure: Erasure) -> None:
        if erasure.user_id == "u1":
            raise asyncio.CancelledError
        erased.append(erasure.user_id)

    app, metrics = App(), Metrics(CollectorRegistry())
    refuser = Refuser(Outbox(FakeProducer(), ""), metrics)
    agents = Agents(app, "", refuser, Keys(metrics), AgentLag(FakeProgress(), metrics))
    agents.erasures(erase)
    events = [Event(number) for number in range(3)]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(app.agents["erasures"](Stream(events)))
    assert erased == ["u0"]
    assert [event.acknowledged for event in events] == [True, False, False]
    told = metrics.expose().decode()
    assert 'freshrank_miskeyed_total{topic="erasures"} 1.0' in told, "only the first is keyed by its user"
