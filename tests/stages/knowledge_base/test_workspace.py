"""What all stages rest on: heads that move by compare-and-swap, one writer, a bounded time."""

import json
from dataclasses import replace

import pytest

from platform_pipelines.errors import ConflictError, IntegrityError, StageTimeoutError
from platform_pipelines.stages.knowledge_base.workspace import STAGES, Workspace
from platform_pipelines.stages.road.workspace import Deadline, head_key
from tests.fakes import FakeClock
from tests.knowledge import RUN, Knowledge, changed_stages, write_guides


def timed(knowledge: Knowledge, clock: FakeClock, *, seconds: float) -> Workspace:
    """A workspace whose time passes by a second whenever the stage says something."""
    return replace(
        knowledge.workspace(),
        deadline=Deadline(clock, clock.monotonic() + seconds),
        progress=lambda _: clock.advance(1.0),
    )


def test_a_deadline_of_none_never_ends() -> None:
    """A stage that is run by hand has no budget."""
    clock = FakeClock()
    clock.advance(1e9)
    Deadline(clock).check("anything")
    with pytest.raises(StageTimeoutError, match="time budget") as caught:
        Deadline(clock, clock.monotonic() - 1).check("embedding")
    assert caught.value.where == "embedding"
    assert not caught.value.terminal


@pytest.mark.parametrize("stage", STAGES[:4])
def test_a_stage_whose_time_is_over_keeps_its_head_and_is_resumed(
    knowledge: Knowledge, stage: str
) -> None:
    """A slow run is cut off; the next one, with time, ends where an undisturbed one would."""
    write_guides(knowledge.documents, range(20))
    for before in STAGES[: STAGES.index(stage)]:
        knowledge.run(before)
    with pytest.raises(StageTimeoutError):
        RUN[stage](timed(knowledge, FakeClock(), seconds=-1.0))
    assert knowledge.workspace().head(stage) == (None, None)
    outcomes = knowledge.refresh()
    assert outcomes["release"].snapshot.details["status"] == "released"
    assert changed_stages(knowledge.refresh()) == []


def test_a_head_that_another_run_moved_is_not_overwritten(knowledge: Knowledge) -> None:
    """Two runs read the same head; the second one to write is told to read again."""
    knowledge.run("documents")
    workspace = knowledge.workspace()
    snapshot, version = workspace.head("documents")
    assert snapshot is not None
    workspace.move_head(replace(snapshot, details={"by": "another run"}), version)
    with pytest.raises(ConflictError):
        workspace.move_head(snapshot, version)
    with pytest.raises(ConflictError, match="run again"), workspace.writing("documents", version):
        raise AssertionError("it was let in")
    now, _ = workspace.head("documents")
    assert now is not None
    assert now.details == {"by": "another run"}


def test_a_run_that_lost_its_lease_moves_no_head(knowledge: Knowledge) -> None:
    """Suspended for minutes, it wakes up beside another writer: it must stop, not write on."""
    for stage in ("documents", "chunks", "vectors"):
        knowledge.run(stage)
    clock = FakeClock()
    workspace = knowledge.workspace()

    def suspended(message: str) -> None:
        if " chunks in kb_" in message:
            workspace.store.delete(["leases/writer.json"])
            clock.advance(600.0)

    with pytest.raises(ConflictError, match="lease 'writer' is lost"):
        RUN["index"](replace(workspace, clock=clock, progress=suspended))
    assert workspace.head("index") == (None, None)
    outcomes = knowledge.refresh()
    assert outcomes["release"].snapshot.details["status"] == "released"


@pytest.mark.parametrize("part", ["counts", "details"])
def test_a_head_with_a_damaged_part_is_refused(knowledge: Knowledge, part: str) -> None:
    """A half-edited head names its file and the way out, not a `KeyError` three calls later."""
    knowledge.run("documents")
    workspace = knowledge.workspace()
    data, _ = workspace.store.get(head_key("documents"))
    workspace.store.put(head_key("documents"), json.dumps(json.loads(data) | {part: {}}).encode())
    with pytest.raises(IntegrityError, match="delete this file") as caught:
        workspace.head("documents")
    assert caught.value.where is not None
    assert caught.value.where.endswith("heads/documents.json")


def test_a_first_head_is_written_once(knowledge: Knowledge) -> None:
    """Of two first runs one wins; `no head yet` is a version too."""
    knowledge.run("documents")
    workspace = knowledge.workspace()
    snapshot, _ = workspace.head("documents")
    assert snapshot is not None
    with pytest.raises(ConflictError):
        workspace.move_head(snapshot, None)
    workspace.store.delete([head_key("documents")])
    assert workspace.head("documents") == (None, None)
    workspace.move_head(snapshot, None)


def test_a_run_without_work_takes_no_lease(knowledge: Knowledge) -> None:
    """It does not wait for a run that works, and leaves no trace."""
    knowledge.refresh()
    hurried = knowledge.on(lease_wait_seconds=0)
    leases = knowledge.stored("leases")
    with knowledge.workspace().lease():
        held = knowledge.stored("leases")
        assert changed_stages(hurried.refresh()) == []
        assert knowledge.stored("leases") == held
    assert set(knowledge.stored("leases")) == set(leases)
