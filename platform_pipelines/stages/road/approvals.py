"""Approvals in a component's store, each under the digest of the evidence that it is about."""

from platform_pipelines.core.road.approvals import Approval, approval_from_json
from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore


def approval_key(evidence_digest: str) -> str:
    """Where the approval of some evidence is."""
    return f"approvals/{evidence_digest}.json"


def write_approval(store: ObjectStore, approval: Approval) -> None:
    """Keep an approval; a later one for the same evidence replaces it."""
    record = {**approval.record(), "digest": approval.digest}
    store.put(approval_key(approval.evidence_digest), canonical_json(record).encode())


def read_approval(store: ObjectStore, evidence_digest: str) -> Approval | None:
    """The approval of some evidence, or None.

    Raises:
        IntegrityError: it is damaged, or is about other evidence.
    """
    key = approval_key(evidence_digest)
    if not store.exists(key):
        return None
    data, _ = store.get(key)
    where = f"{store.url}/{key}"
    approval = approval_from_json(data, where=where)
    if approval.evidence_digest != evidence_digest:
        raise IntegrityError(
            "the approval is about other evidence",
            where=where,
            stored=approval.evidence_digest,
            expected=evidence_digest,
            remedy="delete the file and approve again",
        )
    return approval
