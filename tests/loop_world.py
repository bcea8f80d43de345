"""The learner's loop over the fakes of its ports, one step at a time."""

from collections.abc import Callable
from typing import Any

from learner.loop import Loop
from learner.ports import Ports, Received
from learner.settings import LearnerSettings
from tests.fakes import (
    Crashing,
    FakeClock,
    FakeEvaluations,
    FakeItems,
    FakeLabels,
    FakeModels,
    FakeOnline,
    FakeSnapshots,
)

SETTINGS = LearnerSettings(publish_ms=500, snapshot_s=30, batch_max=2, poll_ms=1)


class World:
    """A loop over fakes; what survives a crash is kept between `start`s: the log, models and snapshots."""

    def __init__(
        self,
        log: dict[int, list[Received]],
        online: Callable[[], Any] = FakeOnline,
        settings: LearnerSettings = SETTINGS,
    ) -> None:
        self.log, self.settings = log, settings
        self.make = online
        self.clock = FakeClock()
        self.models, self.snapshots = FakeModels(), FakeSnapshots()
        self.evaluations, self.items = FakeEvaluations(), FakeItems()
        self.start()

    def start(self, dies: Callable[[], bool] = lambda: False) -> None:
        self.online, self.labels = self.make(), FakeLabels(self.log)

        def port(inner: object) -> Any:
            return Crashing(inner, dies)

        ports = Ports(
            labels=port(self.labels),
            models=port(self.models),
            snapshots=port(self.snapshots),
            items=self.items,
            evaluations=self.evaluations,
        )
        self.loop = Loop(self.settings, port(self.online), ports, self.clock)

    def steps(self, count: int, ms: int = 0) -> None:
        for _ in range(count):
            self.clock.now += ms
            self.loop.step()
