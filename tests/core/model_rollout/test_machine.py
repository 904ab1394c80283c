"""The rollout's state machine: whatever is seen, it never promotes what did not pass."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.model_rollout.machine import (
    ENDED,
    Health,
    Phase,
    Rollout,
    Seen,
    abandon,
    advance,
    begin,
    rollout_from_record,
    rollout_record,
    wanted,
)
from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.core.road.verdicts import Reason, Status
from platform_pipelines.errors import IntegrityError

NEW, OLD = ModelRef("new", "file:///new", 2), ModelRef("old", "file:///old", 1)
SPEC = ModelRolloutSpec.model_validate(
    {
        "name": "live",
        "registered_model": "assistant",
        "judge": {"golden_set": "file:///golden.jsonl", "patience_seconds": 30},
        "serving": {"start_seconds": 100},
        "steps": [{"percent": p, "hold_seconds": 10} for p in (5, 20, 50, 100)],
    }
)


def seen(now: float, verdict: Status | None = None, **given: Any) -> Seen:
    """A look at a world that is as it should be, unless said otherwise."""
    return Seen(now, **{"candidate": Health.READY, "settled": True, "verdict": verdict, **given})


def at_step(step: int) -> Rollout:
    """A rollout that has just entered a step, at second 0."""
    rollout = advance(begin(NEW, OLD, now=0), seen(0), SPEC)
    for _ in range(step):
        rollout = advance(rollout, seen(rollout.since + 11, Status.PASS), SPEC)
    assert (rollout.phase, rollout.step) == (Phase.STEPPING, step)
    return rollout


def test_a_good_candidate_takes_every_step_and_is_promoted() -> None:
    """5, 20, 50, 100 %, each held and judged."""
    rollout = at_step(3)
    assert [wanted(at_step(n), SPEC).weight for n in range(4)] == [5, 20, 50, 100]
    promoting = advance(rollout, seen(rollout.since + 11, Status.PASS), SPEC)
    assert promoting.phase is Phase.PROMOTING
    assert wanted(promoting, SPEC).drains == (OLD,)
    assert advance(promoting, seen(99, settled=False), SPEC) is promoting
    assert advance(promoting, seen(99), SPEC).phase is Phase.PROMOTED


def test_a_pass_before_the_hold_is_over_waits() -> None:
    """A second of luck is no evidence."""
    rollout = at_step(0)
    assert advance(rollout, seen(rollout.since + 9, Status.PASS), SPEC) is rollout


def test_a_fault_does_not_wait_for_the_hold() -> None:
    """Every request that it still gets is one too many."""
    rollout = at_step(1)
    reason = Reason(Status.FAIL, "errors", "half of them failed")
    after = advance(rollout, seen(rollout.since + 1, Status.FAIL, reasons=(reason,)), SPEC)
    assert after.phase is Phase.ROLLING_BACK
    assert after.history[-1].reasons == ("fail errors: half of them failed",)
    assert (wanted(after, SPEC).weight, wanted(after, SPEC).drains) == (0, (NEW,))


def test_undecided_waits_and_then_rolls_back() -> None:
    """Too few requests never pass, however long nobody comes."""
    rollout = at_step(0)
    for waited in (11, 39):
        undecided = seen(rollout.since + waited, Status.UNDECIDED)
        assert advance(rollout, undecided, SPEC) is rollout
    assert advance(rollout, seen(rollout.since + 41, Status.UNDECIDED), SPEC).phase is (
        Phase.ROLLING_BACK
    )


@pytest.mark.parametrize("health", [Health.GONE, Health.STARTING])
def test_a_candidate_that_is_lost_in_a_step_is_rolled_back(health: Health) -> None:
    """A crash, and a restart that nobody asked for."""
    rollout = at_step(2)
    after = advance(rollout, seen(rollout.since, Status.PASS, candidate=health), SPEC)
    assert after.phase is Phase.ROLLING_BACK


@pytest.mark.parametrize(
    ("health", "now", "phase"),
    [
        (Health.STARTING, 99, Phase.STARTING),
        (Health.STARTING, 101, Phase.ROLLING_BACK),
        (Health.GONE, 1, Phase.ROLLING_BACK),
        (Health.READY, 1, Phase.STEPPING),
    ],
)
def test_a_start_is_waited_for_as_long_as_declared(
    health: Health, now: float, phase: Phase
) -> None:
    """A slow load, and a server that ends while it starts."""
    assert advance(begin(NEW, OLD, now=0), seen(now, candidate=health), SPEC).phase is phase


LOOKS = st.builds(
    Seen,
    now=st.floats(0, 1000),
    candidate=st.sampled_from(Health),
    settled=st.booleans(),
    verdict=st.sampled_from([None, *Status]),
)


@given(st.lists(LOOKS, max_size=40))
def test_whatever_is_seen_weights_are_whole_and_only_passes_promote(looks: list[Seen]) -> None:
    """Four passes, one a step, stand behind every promotion; what has ended never moves again."""
    rollout, passes = begin(NEW, OLD, now=0), 0
    for look in looks:
        after = advance(rollout, look, SPEC)
        if after is not rollout:
            assert rollout.phase not in ENDED
            stepped = rollout.phase is Phase.STEPPING and after.phase is not Phase.ROLLING_BACK
            passes += stepped and look.verdict is Status.PASS
            assert not stepped or look.verdict is Status.PASS
        rollout = after
        world = wanted(rollout, SPEC)
        assert 0 <= world.weight <= 100
        assert set(world.runs).isdisjoint(world.drains)
        serving = {NEW} if world.weight == 100 else {OLD} if not world.weight else {NEW, OLD}
        assert serving <= set(world.runs)
    if rollout.phase in {Phase.PROMOTING, Phase.PROMOTED}:
        assert passes == len(SPEC.steps)


@given(st.lists(LOOKS, max_size=12))
def test_the_stored_state_is_read_back_the_same(looks: list[Seen]) -> None:
    """A controller that is killed is followed by one that knows only this."""
    rollout = begin(NEW, OLD, now=0)
    for look in looks:
        rollout = advance(rollout, look, SPEC)
    text = json.dumps(rollout_record(rollout))
    assert rollout_from_record(json.loads(text), where="here") == rollout


def test_a_rollout_is_abandoned_once() -> None:
    """Rollback during rollback changes nothing."""
    back = abandon(at_step(1), now=5, reason="somebody said so")
    assert back.phase is Phase.ROLLING_BACK
    assert abandon(back, now=6, reason="again") is back


@pytest.mark.parametrize("damage", [{"format": 2}, {"phase": "lost"}, {"history": None}])
def test_a_state_of_another_format_is_refused(damage: dict[str, Any]) -> None:
    """A damaged state decides nothing."""
    record = {**rollout_record(at_step(0)), **damage}
    with pytest.raises(IntegrityError):
        rollout_from_record(record, where="here")
