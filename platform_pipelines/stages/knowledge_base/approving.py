"""Approving a held candidate: a record bound to its evidence, named in the release log."""

from platform_pipelines.core.knowledge_base.evidence import MASS_LOSS
from platform_pipelines.core.road.approvals import Approval
from platform_pipelines.core.road.verdicts import Status
from platform_pipelines.errors import ConfigurationError, EvidenceError, UnknownNameError
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.stored_evidence import STAGE
from platform_pipelines.stages.road.approvals import write_approval
from platform_pipelines.stages.road.ownership import own_identity
from platform_pipelines.stages.road.workspace import read_head


def approve(settings: Settings, name: str, revision: str, *, reason: str, clock: Clock) -> Approval:
    """Lift the hold on the candidate, for its present evidence. It never lifts a `fail`.

    `revision` is the candidate's digest or a beginning of it: a person names what is approved.

    Raises:
        ConfigurationError: no reason is given.
        UnknownNameError: nothing was evaluated, or the candidate is another revision.
        EvidenceError: the candidate is not held for this, or something else is wrong as well.
        OwnershipError: the store is a copy or was moved.
    """
    if not reason.strip():
        raise ConfigurationError("an approval needs a reason", remedy="say --reason TEXT")
    store = connect.open_knowledge_store(settings, name)
    head = read_head(store, STAGE)
    if head is None:
        raise UnknownNameError(
            f"nothing of {name!r} was evaluated yet",
            where=settings.store_url,
            remedy=f"run `dg launch --job {name}_refresh`, or correct the name",
        )
    found = head.details
    candidate = str(found["revision"])
    if not (revision and candidate.startswith(revision)):
        raise UnknownNameError(
            "the candidate is another revision",
            where=name,
            stored=candidate,
            expected=revision,
            remedy="look at the evidence asset's page, and name the revision that is held",
        )
    held = [one for one in found["reasons"] if one.startswith(f"{MASS_LOSS}:")]
    if found["verdict"] != Status.UNDECIDED or not held or found.get("others"):
        raise EvidenceError(
            "an approval lifts a hold for lost documents, and nothing else",
            where=f"{name}, revision {candidate}",
            stored=f"{found['verdict']}: {'; '.join(found['reasons']) or 'every rule holds'}",
            expected=f"{Status.UNDECIDED}: {MASS_LOSS}",
            remedy="correct documents, policies or the golden set, and refresh",
        )
    approval = Approval(
        name=name,
        revision=candidate,
        evidence_digest=str(found["evidence"]),
        actor=settings.actor,
        reason=reason.strip(),
        at=clock.now().isoformat(timespec="seconds"),
    )
    own_identity(settings, clock)
    write_approval(store, approval)
    return approval
