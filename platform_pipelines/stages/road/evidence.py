"""Evidence in a component's store: written once, under its own digest, read back certified."""

from collections.abc import Callable
from typing import Any

from platform_pipelines.core.road.evidence import Evidence, evidence_from_json
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.signatures import sign_evidence


def evidence_key(digest: str) -> str:
    """Where evidence is: named by its own digest."""
    return f"evidence/{digest}.json"


def write_evidence(settings: Settings, store: ObjectStore, evidence: Evidence) -> str:
    """Keep evidence, signed where there is a key; its digest.

    Raises:
        EvidenceError: a number in it is not finite.
    """
    digest = evidence.digest
    store.put(evidence_key(digest), evidence.to_json().encode())
    sign_evidence(settings, store, digest)
    return digest


def read_evidence(
    store: ObjectStore,
    digest: str,
    *,
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Evidence | None:
    """Evidence by its digest, certified; None when there is none.

    Raises:
        IntegrityError: it is not what its digest says.
    """
    key = evidence_key(digest)
    if not store.exists(key):
        return None
    data, _ = store.get(key)
    where = f"{store.url}/{key}"
    evidence = evidence_from_json(data.decode(errors="replace"), where=where, upgrade=upgrade)
    if evidence.digest != digest:
        raise IntegrityError(
            "other evidence stands under this digest",
            where=where,
            stored=evidence.digest,
            expected=digest,
            remedy="delete the file and evaluate again",
        )
    return evidence
