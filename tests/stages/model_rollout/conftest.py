"""The town is made anew for each test, and its servers end with it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.gateways.model_registry import ModelVersion
from platform_pipelines.stages.model_rollout.workspace import Workspace
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.workspace import Deadline
from tests.knowledge import settings_under
from tests.stages.model_rollout.fake_world import (
    FakeClock,
    FakeRegistry,
    FakeRouter,
    FakeServers,
    Side,
)
from tests.stages.model_rollout.town import NEW, OLD, RIGHT, SPEC, Town


@pytest.fixture
def make_town(tmp_path: Path) -> Iterator[Callable[..., Town]]:
    towns: list[Town] = []

    def make(
        candidate: Side | None = None,
        *,
        champion: Side | None = None,
        has_users: bool = True,
        spec: ModelRolloutSpec = SPEC,
    ) -> Town:
        sides = {OLD: champion or Side(RIGHT), NEW: candidate or Side(RIGHT)}
        servers, router = FakeServers(sides), FakeRouter(sides, has_users)
        clock = FakeClock(router)
        settings = settings_under(tmp_path / str(len(towns)), None)
        workspace = Workspace(
            name="assistant", spec=spec, settings=settings, clock=clock,
            store=open_component_store(settings, "registered_models", "assistant"),
            deadline=Deadline(clock, 3600.0),
        )  # fmt: skip
        versions = [ModelVersion(n, f"file:///{d}", d, {}) for n, d in ((1, OLD), (2, NEW))]
        registry = FakeRegistry(versions, {"base": 1, "champion": 1, "candidate": 2})
        towns.append(Town(workspace, servers, router, registry, clock))
        return towns[-1]

    yield make
    for town in towns:
        for one in list(town.servers.running):
            town.servers._end(one)
