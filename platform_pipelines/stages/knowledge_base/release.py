"""`release`: read the evidence again, and move the pointer that readers follow, or refuse.

The release log is the truth and the alias is its projection: append first, then point. A run killed
between the two leaves an alias that the next run, of any kind, points right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.releases import Candidate, ReleaseEntry, current
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.building import ensure_collection
from platform_pipelines.stages.knowledge_base.collect import collect
from platform_pipelines.stages.knowledge_base.evidence import judge
from platform_pipelines.stages.knowledge_base.gate_rules import approved
from platform_pipelines.stages.knowledge_base.golden_questions import load_golden_set
from platform_pipelines.stages.knowledge_base.pointer import Alias
from platform_pipelines.stages.knowledge_base.revisions import candidate, read_revision
from platform_pipelines.stages.knowledge_base.slots import read_slots
from platform_pipelines.stages.knowledge_base.stored_evidence import STAGE as EVIDENCE
from platform_pipelines.stages.knowledge_base.stored_evidence import read_evidence
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road import release
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.workspace import POINTER

STAGE = "release"


def refresh_release(workspace: Workspace, *, allow_rolled_back: bool = False) -> StageOutcome:
    """Release the candidate if its evidence passes; point the alias at what the log says is live.

    A candidate that was rolled back from is held until its content changes, or until somebody
    allows it: a schedule must not undo a person's rollback.

    Raises:
        GateFailedError: the verdict is `fail` or `undecided`, or there is no evidence.
        ConflictError: another run released first; run again.
    """
    revision = candidate(workspace)
    with connect.vectors_of(workspace.settings) as store:
        alias = Alias(workspace, store)
        entries = road.release_log(workspace.store, workspace.name).entries()
        status = release.stays(entries, revision.digest, allow_rolled_back=allow_rolled_back)
        if status and release.follows(entries, alias):
            return StageOutcome.unchanged(_snapshot(alias, entries, status, ()))
        with workspace.lease() as writer, workspace.lease(POINTER) as pointer:
            held = Alias(workspace.holding(writer, pointer), store)
            return _Releasing(held, revision).run(allow_rolled_back=allow_rolled_back)


def roll_back(
    workspace: Workspace, *, to_revision: str | None = None, reason: str = ""
) -> ReleaseEntry:
    """Make an earlier release live again; safe to repeat after a kill.

    Raises:
        UnknownNameError: there is nothing to go back to; lists the choices.
    """
    with connect.vectors_of(workspace.settings) as store:
        alias = Alias(workspace, store)
        return release.roll_back(workspace, alias, to_revision=to_revision, reason=reason)


@dataclass(frozen=True, slots=True)
class _Releasing:
    """One release, by the only writer."""

    alias: Alias
    revision: Revision

    @property
    def workspace(self) -> Workspace:
        return self.alias.workspace

    @property
    def store(self) -> VectorStore:
        return self.alias.store

    def run(self, *, allow_rolled_back: bool) -> StageOutcome:
        """Decide again: append, make what is live whole, point the alias, collect."""
        workspace, revision = self.workspace, self.revision
        slot = read_slots(workspace, self.store).of(revision)
        collection = slot.collection if slot else revision.collection
        asked = Candidate(workspace.name, revision.digest, collection, "")
        released = release.append_release(
            workspace, asked, self.judge, allow_rolled_back=allow_rolled_back
        )
        live = read_revision(workspace.store, released.live.revision)
        ensure_collection(workspace, self.store, live, at=released.live.target)
        release.follow(workspace, self.alias, released.live)
        dropped = collect(workspace, self.store, released.entries, revision, collection)
        is_new = released.status == "released"
        snapshot = _snapshot(self.alias, released.entries, released.status, dropped)
        changes = {"released": int(is_new), "collections_dropped": len(dropped)}
        return StageOutcome(snapshot, is_changed=True, changes=changes)

    def judge(self, live: ReleaseEntry | None) -> release.Judged:
        """The gate's answer on the stored evidence, against what is live now."""
        workspace = self.workspace
        head = workspace.require_head(EVIDENCE)
        evidence = read_evidence(workspace.store, head.details["evidence"])
        baseline = None if live is None else read_revision(workspace.store, live.revision)
        golden = load_golden_set(workspace)
        verdict = judge(workspace, evidence, self.revision, baseline, golden)
        word = approved(workspace, evidence)
        digest = evidence.digest if evidence else None
        return release.Judged(verdict, digest, f"approved by {word}" if word else "")


def _snapshot(
    alias: Alias, entries: Sequence[ReleaseEntry], status: str, dropped: Sequence[str]
) -> Snapshot:
    live = current(entries)
    assert live is not None  # a candidate stays or is released
    return Snapshot(
        stage=STAGE,
        settings=live.digest,
        shards=(),
        counts={"sequence": live.sequence},
        details=_details(live, alias.pointed(), status, dropped),
    )


def _details(
    live: ReleaseEntry, alias_points_to: str | None, status: str, dropped: Sequence[str]
) -> dict[str, Any]:
    return {
        "status": status,
        "revision": live.revision,
        "collection": live.target,
        "alias_points_to": alias_points_to,
        "evidence": live.evidence_digest,
        "released_at": live.at,
        "dropped": list(dropped),
    }
