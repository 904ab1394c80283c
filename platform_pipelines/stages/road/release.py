"""Releasing and rolling back, for every component: judge again, append, then point readers.

The release log is the truth and the pointer its projection: append first, then point. A run killed
between the two leaves a pointer that the next run, of any kind, points right.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from platform_pipelines.core.road.releases import (
    Action,
    AlreadyLive,
    Candidate,
    ReleaseEntry,
    current,
    drift,
    plan_release,
    plan_rollback,
)
from platform_pipelines.core.road.verdicts import Status, Verdict
from platform_pipelines.errors import GateFailedError
from platform_pipelines.stages.road.connect import release_log
from platform_pipelines.stages.road.signatures import require_signature
from platform_pipelines.stages.road.workspace import POINTER, Workspace, stamp


class ReleaseTarget(Protocol):
    """What readers of a component follow: an alias, a route, a registry's alias."""

    def pointed(self) -> str | None:
        """The target that readers follow now; None when they follow none."""
        ...

    def point(self, target: str) -> None:
        """Let readers follow a target; idempotent."""
        ...

    def existing(self) -> Collection[str]:
        """The targets that can be pointed to."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """The gate's verdict about a candidate against what is live, and the evidence it rests on."""

    verdict: Verdict
    evidence_digest: str | None
    approval: str = ""  # why a held candidate was let through, and by whom


@dataclass(frozen=True, slots=True)
class Released:
    """The log after a release, and why nothing was appended, if nothing was."""

    entries: tuple[ReleaseEntry, ...]
    status: str

    @property
    def live(self) -> ReleaseEntry:
        """What readers follow."""
        return self.entries[-1]


Judge = Callable[[ReleaseEntry | None], Judged]


def release(
    workspace: Workspace,
    candidate: Candidate,
    target: ReleaseTarget,
    judge: Judge,
    *,
    allow_rolled_back: bool = False,
) -> Released:
    """Release a candidate whose gate passes now, and point readers at what the log says is live.

    Takes the pointer's lease. `candidate.evidence_digest` is taken from what `judge` answers, which
    reads the evidence itself: no caller's word about it counts.

    Raises:
        GateFailedError: the verdict is `fail` or `undecided`, or there is no evidence.
        ConflictError: another run released first; run again.
    """
    with workspace.lease(POINTER) as lease:
        held = workspace.holding(lease)
        released = append_release(held, candidate, judge, allow_rolled_back=allow_rolled_back)
        follow(held, target, released.live)
    return released


def append_release(
    workspace: Workspace, candidate: Candidate, judge: Judge, *, allow_rolled_back: bool
) -> Released:
    """Judge and append, under a pointer's lease that the caller holds; readers are not pointed.

    Raises:
        GateFailedError, ConflictError: as `release`.
    """
    log = release_log(workspace.store, workspace.name)
    entries = log.entries()
    status = stays(entries, candidate.revision, allow_rolled_back=allow_rolled_back)
    if status:
        return Released(entries, status)
    evidence, approval = require_pass(judge(current(entries)), candidate)
    require_signature(workspace.settings, workspace.store, evidence)
    reasons = ["allowed again"] if allow_rolled_back else []
    plan = plan_release(
        entries,
        Candidate(candidate.name, candidate.revision, candidate.target, evidence),
        stamp(workspace, "; ".join([*reasons, *([approval] if approval else [])])),
    )
    workspace.deadline.check("releasing")
    log.append(plan.entry)
    return Released((*entries, plan.entry), "released")


def follow(workspace: Workspace, target: ReleaseTarget, live: ReleaseEntry) -> None:
    """Point readers at what the log says is live."""
    workspace.deadline.check("pointing readers to the release")
    target.point(live.target)


def follows(entries: Sequence[ReleaseEntry], target: ReleaseTarget) -> bool:
    """Whether readers follow what the log says is live."""
    live = current(entries)
    return live is not None and target.pointed() == live.target


def roll_back(
    workspace: Workspace,
    target: ReleaseTarget,
    *,
    to_revision: str | None = None,
    reason: str = "",
) -> ReleaseEntry:
    """Make an earlier release live again; safe to repeat after a kill.

    Raises:
        UnknownNameError: there is nothing to go back to; lists the choices.
    """
    with workspace.lease(POINTER):
        log = release_log(workspace.store, workspace.name)
        entries = log.entries()
        unfinished = _unfinished(workspace, target, entries) if to_revision is None else None
        plan = unfinished or plan_rollback(
            entries, stamp(workspace, reason), to=to_revision, existing=target.existing()
        )
        if not isinstance(plan, AlreadyLive):
            log.append(plan.entry)
        target.point(plan.entry.target)
    return plan.entry


def repair(workspace: Workspace, target: ReleaseTarget) -> None:
    """Finish what a run that was killed between the log and the pointer left undone."""
    log = release_log(workspace.store, workspace.name)
    if drift(log.head(), target.pointed()) is None:
        return
    with workspace.lease(POINTER):
        live = log.head()
        if live is not None and live.target in target.existing():
            target.point(live.target)
            workspace.progress(f"release {live.sequence}: readers are pointed to it again")


def stays(entries: Sequence[ReleaseEntry], revision: str, *, allow_rolled_back: bool) -> str:
    """Why a candidate is not released now, or nothing.

    What was rolled back from is held until its content changes, or until somebody allows it: a
    schedule must not undo a person's rollback.
    """
    live = current(entries)
    if live is not None and live.revision == revision:
        return "live already"
    if not allow_rolled_back and was_rolled_back(entries, revision):
        return "held: it was rolled back from"
    return ""


def was_rolled_back(entries: Sequence[ReleaseEntry], revision: str) -> bool:
    """Whether the last word about a revision is that somebody rolled back from it."""
    for entry in reversed(entries):
        if entry.revision == revision:
            return False
        if entry.action is Action.ROLLBACK and entry.previous_revision == revision:
            return True
    return False


def require_pass(judged: Judged, candidate: Candidate) -> tuple[str, str]:
    """The digest of the evidence that lets a candidate pass, and the approval it took.

    Raises:
        GateFailedError: it does not pass.
    """
    verdict = judged.verdict
    if judged.evidence_digest is None or verdict.status is not Status.PASS:
        raise GateFailedError(
            f"the gate answers `{verdict.status}`; what is live stays live:\n{_reasons(verdict)}",
            where=f"{candidate.name}, revision {candidate.revision}",
            remedy=_remedy(verdict),
        )
    return judged.evidence_digest, judged.approval


def _unfinished(
    workspace: Workspace, target: ReleaseTarget, entries: Sequence[ReleaseEntry]
) -> AlreadyLive | None:
    """A rollback that this run appended before it was tried again, or that was never pointed to.

    It is finished; going on from it would go one release further back than anybody asked for.
    """
    live = current(entries)
    if live is None or live.action is not Action.ROLLBACK:
        return None
    mine = bool(live.run_id) and live.run_id == workspace.run_id
    return AlreadyLive(live) if mine or target.pointed() != live.target else None


def _reasons(verdict: Verdict) -> str:
    lines = [f"    {r.status} {r.code}: {r.message}" for r in verdict.reasons]
    return "\n".join(lines) or "    no evidence"


def _remedy(verdict: Verdict) -> str:
    if verdict.more_samples:
        return f"add about {verdict.more_samples} samples, or declare a larger effect"
    return "look at the evidence asset's page; correct what was built and run again"
