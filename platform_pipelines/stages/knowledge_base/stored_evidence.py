"""Evidence that was kept, and the calibration that a release answers by."""

from platform_pipelines.core.knowledge_base import evidence as known
from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.evidence import (
    upgrade_evidence,
)
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.core.road.snapshot import snapshot_from_json
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.road import evidence as road_evidence
from platform_pipelines.stages.road.workspace import head_key

STAGE = "evidence"


def read_evidence(store: ObjectStore, digest: str) -> Evidence | None:
    """Evidence by its digest, also of the first schema, certified; None when there is none.

    Raises:
        IntegrityError: it is not what its digest says.
    """
    return road_evidence.read_evidence(store, digest, upgrade=upgrade_evidence)


def calibration_in_use(store: ObjectStore, entry: ReleaseEntry) -> Calibration | None:
    """From the newest evidence about what is live, else from the evidence of its release."""
    if store.exists(head_key(STAGE)):
        data, _ = store.get(head_key(STAGE))
        head = snapshot_from_json(data, where=f"{store.url}/{head_key(STAGE)}")
        if head.details["revision"] == entry.revision:
            found = read_evidence(store, head.details["evidence"])
            return known.calibration_of(found) if found else None
    found = read_evidence(store, entry.evidence_digest or "")
    return known.calibration_of(found) if found else None
