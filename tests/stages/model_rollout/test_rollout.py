"""The controller against twelve kinds of bad canaries, and against being killed anywhere."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from platform_pipelines.core.model_rollout.declaration import StepSpec
from platform_pipelines.core.model_rollout.machine import Phase, abandon
from platform_pipelines.stages.road.connect import release_log
from platform_pipelines.stages.road.models import put_champion_right
from tests.stages.model_rollout.fake_world import Side
from tests.stages.model_rollout.town import (
    NEW,
    OLD,
    RIGHT,
    SPEC,
    Town,
    must_be_promoted,
    must_be_rolled_back,
)


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
