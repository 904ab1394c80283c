"""What ends a stage whose pods do not start, or whose engines do not hold, each by its error."""

from typing import Any

import pytest

from platform_pipelines.compute.pod_starts import PodStarts
from platform_pipelines.core.road.compute_profiles import ComputeProfile, EngineProfile
from platform_pipelines.errors import (
    ConfigurationError,
    MemoryBudgetError,
    StageTimeoutError,
    UnavailableError,
    WorkerLostError,
)
from platform_pipelines.gateways.cluster.jobs import EngineSeen, PodEnd

ENGINE = EngineProfile(kind="tei", image="r/tei:1", model="m", start_seconds=60, restarts=2)


def starts(engine: EngineProfile | None = None) -> PodStarts:
    profile = ComputeProfile(name="mine", engine=engine, start_seconds=100)
    return PodStarts("platform/vectors-1", profile, "registry/platform:1")


def waits(why: str, index: int = 0) -> PodEnd:
    return PodEnd(index, None, "", "", why)


def with_engine(**seen: Any) -> list[PodEnd]:
    known = {"pod": "p", "runs": True, "started": True, "restarts": 0, **seen}
    return [PodEnd(0, None, "", "", "", EngineSeen(**known))]


def test_a_stage_that_no_node_takes_ends_after_the_profile_s_time() -> None:
    """Until then Karpenter may make one; a task that is done shows that nodes exist."""
    stuck = [waits("Unschedulable: 0/3 nodes"), waits("Unschedulable: 0/3 nodes", 1)]
    looked = starts()
    looked.look(stuck, done=0, now=1000.0)
    looked.look(stuck, done=0, now=1100.0)
    looked.look([], done=0, now=1101.0)  # pods that were replaced begin anew
    looked.look(stuck, done=0, now=1102.0)
    looked.look(stuck, done=1, now=1300.0)
    looked.look(stuck, done=0, now=1301.0)
    with pytest.raises(UnavailableError, match="0/3 nodes") as raised:
        looked.look(stuck, done=0, now=1402.0)
    assert raised.value.stored == "profile mine, 100 s"


def test_one_pod_that_works_is_enough() -> None:
    """The others wait for room."""
    looked = starts()
    for now in (0.0, 500.0, 5000.0):
        looked.look([waits("Unschedulable: x"), PodEnd(1, None, "", "")], done=0, now=now)


def test_a_missing_image_ends_the_stage_after_two_minutes_and_a_wrong_name_at_once() -> None:
    """A registry that is away for a minute is none of either."""
    looked = starts()
    looked.look([waits("ErrImagePull")], done=0, now=0.0)
    looked.look([waits("ImagePullBackOff")], done=0, now=99.0)
    with pytest.raises(ConfigurationError, match="ImagePullBackOff"):
        looked.look([waits("ImagePullBackOff")], done=3, now=121.0)
    with pytest.raises(ConfigurationError, match="InvalidImageName"):
        starts().look([waits("InvalidImageName")], done=0, now=0.0)


def test_an_engine_killed_for_memory_is_never_tried_again() -> None:
    """The first sight of it ends the stage: it would be killed again at the same size."""
    seen = with_engine(restarts=1, reason="OOMKilled", exit_code=137)
    with pytest.raises(MemoryBudgetError, match="killed for memory") as raised:
        starts(ENGINE).look(seen, done=0, now=0.0)
    assert raised.value.terminal
    assert "engine.memory" in str(raised.value.remedy)


def test_an_engine_may_restart_as_often_as_declared() -> None:
    """One more, and the stage ends with what the engine said last."""
    seen = {"reason": "Error", "exit_code": 1, "message": "no kernel image for this card"}
    starts(ENGINE).look(with_engine(restarts=2, **seen), done=0, now=0.0)
    with pytest.raises(WorkerLostError, match="no kernel image"):
        starts(ENGINE).look(with_engine(restarts=3, **seen), done=0, now=0.0)


def test_an_engine_that_does_not_start_in_time_ends_the_stage() -> None:
    """Its image's way to the node does not count; starting again does not begin anew."""
    looked = starts(ENGINE)
    looked.look(with_engine(runs=False, started=False), done=0, now=0.0)
    looked.look(with_engine(started=False), done=0, now=500.0)
    looked.look(with_engine(started=False, restarts=1), done=0, now=575.0)
    with pytest.raises(StageTimeoutError, match="not started in time"):
        looked.look(with_engine(started=False, restarts=1), done=0, now=576.0)


def test_an_engine_that_the_kubelet_ends_for_being_late_did_not_start_in_time() -> None:
    """It is started again and ends by the same hand: no end of its own, however often."""
    for restarts in (1, 3):
        seen = with_engine(started=False, restarts=restarts, lived=64.0, reason="Completed")
        with pytest.raises(StageTimeoutError, match="not started in time"):
            starts(ENGINE).look(seen, done=0, now=0.0)


def test_an_engine_that_ended_after_it_had_started_may_start_again() -> None:
    """However long it lived before."""
    looked = starts(ENGINE)
    looked.look(with_engine(), done=0, now=0.0)
    looked.look(with_engine(started=False, restarts=1, lived=64.0), done=0, now=5.0)
    starts(ENGINE).look(with_engine(started=False, restarts=1, lived=3600.0), done=0, now=0.0)
    with pytest.raises(WorkerLostError):
        looked.look(with_engine(started=False, restarts=3, lived=64.0), done=0, now=9.0)


def test_an_engine_that_started_has_all_the_time() -> None:
    """The work itself is limited by the profile's deadline."""
    looked = starts(ENGINE)
    looked.look(with_engine(started=False), done=0, now=0.0)
    looked.look(with_engine(), done=0, now=30.0)
    looked.look(with_engine(), done=0, now=9000.0)
