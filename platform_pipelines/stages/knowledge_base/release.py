"""`release`: read the evidence again, and move the pointer that readers follow, or refuse.

The release log is the truth and the alias is its projection: append first, then point. A run killed
between the two leaves an alias that the next run, of any kind, points right.
"""

from collections.abc import Sequence
from typing import Any

from platform_pipelines.core.knowledge_base.revision import Revision, alias_name, collection_prefix
from platform_pipelines.core.road.gate import Status, Verdict
from platform_pipelines.core.road.releases import (
    Action,
    AlreadyLive,
    Candidate,
    ReleaseEntry,
    Stamp,
    current,
    plan_release,
    plan_rollback,
)
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.errors import GateFailedError
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks import require_head
from platform_pipelines.stages.knowledge_base.collect import collect
from platform_pipelines.stages.knowledge_base.evidence import (
    EVALUATION_VERSION,
    judge,
    load_golden_set,
    read_evidence,
)
from platform_pipelines.stages.knowledge_base.evidence import STAGE as EVIDENCE
from platform_pipelines.stages.knowledge_base.index import candidate, ensure_collection
from platform_pipelines.stages.knowledge_base.pointer import point
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.knowledge_base.workspace import POINTER, Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

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
        entries = connect.release_log(workspace.store, workspace.name).entries()
        status = _stays(entries, revision, allow_rolled_back=allow_rolled_back)
        if status and _follows(workspace, store, entries):
            return StageOutcome.unchanged(_snapshot(workspace, store, entries, status, ()))
        with workspace.lease() as writer, workspace.lease(POINTER) as pointer:
            held = workspace.holding(writer, pointer)
            return _release(held, store, revision, allow_rolled_back=allow_rolled_back)


def roll_back(
    workspace: Workspace, *, to_revision: str | None = None, reason: str = ""
) -> ReleaseEntry:
    """Make an earlier release live again; safe to repeat after a kill.

    Raises:
        UnknownNameError: there is nothing to go back to; lists the choices.
    """
    with connect.vectors_of(workspace.settings) as store, workspace.lease(POINTER):
        log = connect.release_log(workspace.store, workspace.name)
        entries = log.entries()
        existing = store.collections(collection_prefix(workspace.name))
        unfinished = _unfinished(workspace, store, entries) if to_revision is None else None
        plan = unfinished or plan_rollback(
            entries, _stamp(workspace, reason), to=to_revision, existing=existing
        )
        if not isinstance(plan, AlreadyLive):
            log.append(plan.entry)
        point(workspace, store, plan.entry)
    return plan.entry


def _unfinished(
    workspace: Workspace, store: VectorStore, entries: Sequence[ReleaseEntry]
) -> AlreadyLive | None:
    """A rollback that this run appended before it was tried again, or that was never pointed to.

    It is finished; going on from it would go one release further back than anybody asked for.
    """
    live = current(entries)
    if live is None or live.action is not Action.ROLLBACK:
        return None
    mine = bool(live.run_id) and live.run_id == workspace.run_id
    pointed = store.alias(alias_name(workspace.name)) == live.collection
    return AlreadyLive(live) if mine or not pointed else None


def _release(
    workspace: Workspace, store: VectorStore, revision: Revision, *, allow_rolled_back: bool
) -> StageOutcome:
    """Decide again, as the only writer: append, point the alias, collect."""
    log = connect.release_log(workspace.store, workspace.name)
    entries = log.entries()
    status = _stays(entries, revision, allow_rolled_back=allow_rolled_back)
    if not status:
        evidence = _require_pass(workspace, revision, current(entries))
        plan = plan_release(
            entries,
            Candidate(workspace.name, revision.digest, revision.collection, evidence),
            _stamp(workspace, "allowed again" if allow_rolled_back else ""),
        )
        workspace.deadline.check("releasing")
        log.append(plan.entry)
        entries = (*entries, plan.entry)
    live = current(entries)
    assert live is not None  # a candidate stays or is released
    ensure_collection(workspace, store, read_revision(workspace.store, live.revision))
    workspace.deadline.check("pointing readers to the release")
    point(workspace, store, live)
    dropped = collect(workspace, store, entries, revision)
    snapshot = _snapshot(workspace, store, entries, status or "released", dropped)
    changes = {"released": int(not status), "collections_dropped": len(dropped)}
    return StageOutcome(snapshot, is_changed=True, changes=changes)


def _stays(entries: Sequence[ReleaseEntry], revision: Revision, *, allow_rolled_back: bool) -> str:
    """Why the candidate is not released now, or nothing."""
    live = current(entries)
    if live is not None and live.revision == revision.digest:
        return "live already"
    if not allow_rolled_back and was_rolled_back(entries, revision.digest):
        return "held: it was rolled back from"
    return ""


def _follows(workspace: Workspace, store: VectorStore, entries: Sequence[ReleaseEntry]) -> bool:
    """Whether the alias points to what the log says is live, and that is there."""
    live = current(entries)
    return live is not None and store.alias(alias_name(workspace.name)) == live.collection


def was_rolled_back(entries: Sequence[ReleaseEntry], revision: str) -> bool:
    """Whether the last word about a revision is that somebody rolled back from it."""
    for entry in reversed(entries):
        if entry.revision == revision:
            return False
        if entry.action is Action.ROLLBACK and entry.previous_revision == revision:
            return True
    return False


def _require_pass(workspace: Workspace, revision: Revision, live: ReleaseEntry | None) -> str:
    """The digest of the evidence that lets this candidate pass against what is live now."""
    head = require_head(workspace, EVIDENCE)
    is_current = head.details.get("evaluation") == EVALUATION_VERSION
    evidence = read_evidence(workspace.store, head.details["evidence"]) if is_current else None
    baseline = None if live is None else read_revision(workspace.store, live.revision)
    verdict = judge(workspace, evidence, revision, baseline, load_golden_set(workspace))
    if evidence is None or verdict.status is not Status.PASS:
        raise GateFailedError(
            f"the gate answers `{verdict.status}`; what is live stays live:\n{_reasons(verdict)}",
            where=f"{workspace.name}, revision {revision.digest}",
            remedy=_remedy(verdict),
        )
    return evidence.digest


def _reasons(verdict: Verdict) -> str:
    lines = [f"    {r.status} {r.code}: {r.message}" for r in verdict.reasons]
    return "\n".join(lines) or "    no evidence"


def _remedy(verdict: Verdict) -> str:
    if verdict.more_samples:
        return f"add about {verdict.more_samples} golden questions, or declare a larger effect"
    return "look at the evidence asset's page; correct documents or policies and refresh again"


def _stamp(workspace: Workspace, reason: str) -> Stamp:
    return Stamp(
        run_id=workspace.run_id,
        actor=workspace.settings.actor,
        at=workspace.clock.now().isoformat(timespec="seconds"),
        reason=reason,
    )


def _snapshot(
    workspace: Workspace,
    store: VectorStore,
    entries: Sequence[ReleaseEntry],
    status: str,
    dropped: Sequence[str],
) -> Snapshot:
    live = current(entries)
    assert live is not None
    return Snapshot(
        stage=STAGE,
        settings=live.digest,
        shards=(),
        counts={"sequence": live.sequence},
        details=_details(live, store.alias(alias_name(workspace.name)), status, dropped),
    )


def _details(
    live: ReleaseEntry, alias_points_to: str | None, status: str, dropped: Sequence[str]
) -> dict[str, Any]:
    return {
        "status": status,
        "revision": live.revision,
        "collection": live.collection,
        "alias_points_to": alias_points_to,
        "evidence": live.evidence_digest,
        "released_at": live.at,
        "dropped": list(dropped),
    }
