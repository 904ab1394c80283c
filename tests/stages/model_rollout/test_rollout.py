"""The controller against twelve kinds of bad canaries, and against being killed anywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec, StepSpec
from platform_pipelines.core.model_rollout.machine import Phase, Rollout, abandon
from platform_pipelines.core.road.model_questions import ModelGoldenSet, ModelQuestion
from platform_pipelines.gateways.model_registry import ModelVersion
from platform_pipelines.stages.model_rollout.rollout import Controller
from platform_pipelines.stages.model_rollout.workspace import Workspace
from platform_pipelines.stages.model_rollout.world import World
from platform_pipelines.stages.road.connect import open_component_store, release_log
from platform_pipelines.stages.road.models import put_champion_right
from platform_pipelines.stages.road.workspace import Deadline
from tests.knowledge import settings_under
from tests.stages.model_rollout.fake_world import (
    FakeClock,
    FakeRegistry,
    FakeRouter,
    FakeServers,
    Side,
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

    def live(self) -> str | None:
        entry = release_log(self.workspace.store, "assistant").head()
        return entry.target if entry else None


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
        settings = settings_under(tmp_path, None)
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


def test_a_healthy_candidate_is_promoted_step_by_step(make_town: Callable[..., Town]) -> None:
    """5, 20, 50, 100 % in this order; the release log names its evidence."""
    town = make_town()
    must_be_promoted(town, town.controller().run())
    shares = [h.get(f"model-{NEW[:12]}", 0) for h in town.router.history]
    assert shares == [0, 5, 20, 50, 100]
    assert release_log(town.workspace.store, "assistant").entries()[-1].evidence_digest


BAD: dict[str, tuple[Side, str]] = {
    "error burst": (Side(RIGHT, errors=0.5), "errors"),
    "errors inside streams": (Side(RIGHT, stream_errors=0.1), "errors"),
    "latency x3 and more": (Side(RIGHT, latency_seconds=0.5), "latency"),
    "crash loop": (Side(RIGHT, dies_after=-1), "ended while it started"),
    "slow load": (Side(RIGHT, never_ready=True), "was not ready after"),
    "out of memory": (Side(RIGHT, dies_after=15), "the candidate's server is gone"),
    "metrics gap": (Side(RIGHT, loses_metrics=True), "metrics_lost"),
    "wrong weights": (Side(RIGHT, wrong_weights=True), "ended while it started"),
    "degraded answers": (Side({}), "answer_f1"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_canary_is_rolled_back_and_told_why(
    make_town: Callable[..., Town], kind: str
) -> None:
    """None is promoted, and nobody is sent to it afterwards."""
    side, why = BAD[kind]
    town = make_town(replace(side))
    ended = town.controller().run()
    must_be_rolled_back(town, ended)
    assert ended is not None
    told = next(e for e in ended.history if e.phase is Phase.ROLLING_BACK)
    assert any(why in reason for reason in told.reasons), told.reasons
    served = town.servers.sides[NEW].requests
    town.clock.sleep(60)
    assert town.servers.sides[NEW].requests == served


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_candidate_is_never_rolled_back(
    make_town: Callable[..., Town], seed: int
) -> None:
    """Both sides differ by chance: in latency, in rare errors, in the words of an answer."""
    chance = Random(seed)
    both = [
        Side(
            RIGHT | {(worded := chance.choice(list(RIGHT))): f"{RIGHT[worded]} indeed"},
            errors=chance.uniform(0, 0.005),
            latency_seconds=chance.choice((0.05, 0.1, 0.2)),
        )
        for _ in range(2)
    ]
    town = make_town(both[0], champion=both[1])
    must_be_promoted(town, town.controller().run())


def test_a_rollback_in_a_rollback_ends_as_one(make_town: Callable[..., Town]) -> None:
    """A second controller finishes; the first one's state is old, and it finds it ended."""
    town = make_town(Side(RIGHT, errors=0.5))
    first = town.controller()
    state, version = first._begin(*first.read())
    assert state is not None
    while state.phase is not Phase.ROLLING_BACK:
        state, version = first.tick(state, version)
    assert abandon(state, now=0.0, reason="somebody is nervous") is state
    must_be_rolled_back(town, town.controller().run())
    late, _ = first.tick(state, version)
    must_be_rolled_back(town, late)


MIRRORED = SPEC.model_copy(
    update={"steps": (StepSpec(percent=0, mirror=True, hold_seconds=10), *SPEC.steps)}
)


@pytest.mark.parametrize(
    ("candidate", "steps"), [(Side(RIGHT), [0, 5, 20, 50, 100]), (Side(RIGHT, errors=0.5), [0])]
)
def test_a_mirrored_step_is_judged_before_anybody_gets_an_answer(
    make_town: Callable[..., Town], candidate: Side, steps: list[int]
) -> None:
    """Copies of all requests; what fails there has never answered a user."""
    town = make_town(replace(candidate), spec=MIRRORED)
    ended = town.controller().run()
    (must_be_promoted if len(steps) > 1 else must_be_rolled_back)(town, ended)
    new = f"model-{NEW[:12]}"
    assert town.router.mirrored == [new]
    assert town.router.mirror is None
    assert [h.get(new, 0) for h in town.router.history] == steps


def test_without_users_nothing_passes(make_town: Callable[..., Town]) -> None:
    """No requests, no errors: that is no evidence."""
    town = make_town(has_users=False)
    ended = town.controller().run()
    must_be_rolled_back(town, ended)
    assert ended is not None
    assert any("too_few_requests" in r for e in ended.history for r in e.reasons)


def test_a_fault_is_answered_within_a_minute(make_town: Callable[..., Town]) -> None:
    """From its first bad second to the last request that it gets."""
    town = make_town(Side(RIGHT, errors=0.5))
    town.controller().run()
    assert town.servers.sides[NEW].served_seconds <= 60


@pytest.mark.parametrize("candidate", [None, Side(RIGHT, dies_after=15), Side({})])
@pytest.mark.parametrize("waits", range(1, 46, 4))
def test_a_controller_that_is_killed_is_followed_by_one_that_ends_the_same(
    make_town: Callable[..., Town], waits: int, candidate: Side | None
) -> None:
    """Killed at each wait, in every state, again and again."""
    town = make_town(replace(candidate) if candidate else None)
    town.clock.killed_after = waits
    for _ in range(100):
        try:
            ended = town.controller().run()
            break
        except KeyboardInterrupt:
            town.clock.waits = 0
    else:
        pytest.fail("it never ended")
    (must_be_promoted if candidate is None else must_be_rolled_back)(town, ended)


def test_what_was_rolled_back_is_held(make_town: Callable[..., Town]) -> None:
    """A schedule does not try the same version again and again."""
    town = make_town(Side({}))
    town.controller().run()
    town.registry.set_alias("assistant", "candidate", 2)
    assert town.controller().run() is None
    assert town.router.shares == {f"model-{OLD[:12]}": 100}


def test_a_champion_that_somebody_set_by_hand_is_put_right(make_town: Callable[..., Town]) -> None:
    """The log is the truth: an alias without evidence serves nobody."""
    town = make_town()
    town.controller().run()
    town.registry.set_alias("assistant", "champion", 1)
    controller = town.controller()
    assert controller.run() is None
    assert controller.alias_was == OLD
    assert town.registry.named["champion"] == 2
    assert town.router.shares == {f"model-{NEW[:12]}": 100}


@pytest.mark.parametrize("was", [2, None])
def test_before_the_first_release_the_base_model_is_the_champion(
    make_town: Callable[..., Town], was: int | None
) -> None:
    """No evidence made it: whoever set it, or deleted what it named, is told."""
    town = make_town()
    town.registry.named.pop("champion")
    if was:
        town.registry.set_alias("assistant", "champion", was)
    found = put_champion_right(town.workspace, town.registry)
    assert found == (NEW if was else "nothing")
    assert town.registry.named["champion"] == 1
    assert put_champion_right(town.workspace, town.registry) is None
