"""A town for the rollout's controller: everything that outlives one, and how it must end."""

from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.model_rollout.machine import Phase, Rollout
from platform_pipelines.core.road.model_questions import ModelGoldenSet, ModelQuestion
from platform_pipelines.stages.model_rollout.rollout import Controller
from platform_pipelines.stages.model_rollout.workspace import Workspace
from platform_pipelines.stages.model_rollout.world import World
from platform_pipelines.stages.road.connect import release_log
from tests.kill_points import REGISTRY_WRITES, KillPoints
from tests.stages.model_rollout.fake_world import (
    FakeClock,
    FakeRegistry,
    FakeRouter,
    FakeServers,
)

GOLDEN = ModelGoldenSet(
    tuple(ModelQuestion(f"q{n}", f"question {n}", f"answer number {n}") for n in range(20))
)
RIGHT = {q.question: q.answer for q in GOLDEN.questions}
OLD, NEW = "a" * 32, "b" * 32
SPEC = ModelRolloutSpec.model_validate(
    {
        "name": "live",
        "registered_model": "assistant",
        "steps": [{"percent": p, "hold_seconds": 10} for p in (5, 20, 50, 100)],
        "judge": {"golden_set": "file:///x.jsonl", "patience_seconds": 20},
        "serving": {"start_seconds": 60},
    }
)


@dataclass
class Town:
    """Everything that outlives a controller."""

    workspace: Workspace
    servers: FakeServers
    router: FakeRouter
    registry: FakeRegistry
    clock: FakeClock

    def controller(self, **given: Any) -> Controller:
        serving = self.workspace.spec.serving
        world = World(self.servers, self.router, serving, self.clock, lambda _: None)
        return Controller(self.workspace, self.registry, world, GOLDEN, **given)

    def controller_with(self, points: KillPoints, registry: Any = None) -> Controller:
        """One whose writes are kill points; `registry` instead of the town's own."""
        one = self.controller()
        world = one.world
        world.servers = points.around(world.servers, ("start", "stop"))
        world.router = points.around(world.router, ("route",))
        one.registry = points.around(registry or self.registry, REGISTRY_WRITES)
        return one

    def live(self) -> str | None:
        entry = release_log(self.workspace.store, "assistant").head()
        return entry.target if entry else None


def must_be_promoted(town: Town, ended: Rollout | None) -> None:
    assert ended is not None
    assert ended.phase is Phase.PROMOTED, [e.reasons for e in ended.history]
    assert town.live() == NEW
    assert town.registry.named == {"base": 1, "champion": 2}
    assert town.router.shares == {f"model-{NEW[:12]}": 100}
    assert list(town.servers.running) == [NEW]


def must_be_rolled_back(town: Town, ended: Rollout | None) -> None:
    assert ended is not None
    assert ended.phase is Phase.ROLLED_BACK, ended.history[-1]
    assert town.live() is None
    assert town.registry.named == {"base": 1, "champion": 1}
    assert town.router.shares == {f"model-{OLD[:12]}": 100}
    assert list(town.servers.running) == [OLD]
