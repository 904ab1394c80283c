"""Several processes at once on one knowledge base: refreshes, and searches during a refresh."""

from pathlib import Path

import pytest

from platform_pipelines.errors import LeaseHeldError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.lease import Lease, LeaseOptions
from platform_pipelines.settings import Settings
from tests.end_to_end.killing import Refresh
from tests.knowledge import Knowledge, changed_stages, guide, new_knowledge, write_guides

pytestmark = pytest.mark.end_to_end
EXPECTED_LOSERS = {"", "ConflictError", "LeaseHeldError"}


def test_two_refreshes_at_once_leave_one_of_everything(
    knowledge: Knowledge, tmp_path: Path
) -> None:
    """A person starts the job while the schedule does: both end well, or one is told to try again.

    Whatever the order, there is one release a revision, and every count reconciles."""
    knowledge.refresh()
    for turn in range(3):
        (knowledge.documents / f"guide{70 + turn}.md").write_text(guide(70 + turn), "utf-8")
        running = [Refresh(knowledge, tmp_path, f"{turn}-{side}") for side in ("a", "b")]
        endings = [one.ending() for one in running]
        assert {one.error for one in endings} <= EXPECTED_LOSERS, endings
        assert any(not one.error for one in endings), endings
    outcomes = knowledge.refresh()
    assert changed_stages(outcomes) == []
    revisions = [entry.revision for entry in knowledge.log()]
    assert len(revisions) == len(set(revisions)) == 4
    assert outcomes["documents"].snapshot.counts["parsed"] == 9
    rows = outcomes["index"].snapshot.counts["rows"]
    assert rows == outcomes["chunks"].snapshot.rows == outcomes["vectors"].snapshot.rows
    assert rows == len(knowledge.chunk_ids()) == len(set(knowledge.chunk_ids()))
    for turn in range(3):
        assert knowledge.found(f"quota of pool number {70 + turn}")[0] == f"guide{70 + turn}.md"


def test_a_lease_that_is_held_too_long_is_told_by_name(knowledge: Knowledge) -> None:
    """The waiting is bounded; the message names who holds it, and nothing was written."""
    hurried = knowledge.on(lease_wait_seconds=0)
    options = LeaseOptions(ttl_seconds=60)
    clock = SystemClock()
    with Lease(knowledge.store, "writer", holder="ann", clock=clock, options=options):
        with pytest.raises(LeaseHeldError, match="ann"):
            hurried.run("documents")
        assert knowledge.stored("documents") == knowledge.stored("heads") == {}
    assert hurried.run("documents").is_changed


def test_searches_are_answered_all_through_a_refresh(
    tmp_path: Path, embedded_settings: Settings
) -> None:
    """On the embedded default too, where one process at a time may open the database."""
    knowledge = new_knowledge(tmp_path / "kb", embedded_settings)
    knowledge.refresh()
    write_guides(knowledge.documents, range(100, 300))
    refresh = Refresh(knowledge, tmp_path, "refresh")
    answered = 0
    while refresh.is_running():
        assert knowledge.found("quota of pool number 3", k=1) == ["guide3.md"]
        answered += 1
    assert refresh.ending().error == ""
    assert answered >= 3
    assert knowledge.found("quota of pool number 250")[0] == "guide250.md"
