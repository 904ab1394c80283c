"""The gate's answer about a knowledge base by name alone: for the command line and CI.

Nothing that says `pass` is believed: the evidence is read and certified, and judged again by the
rules that were declared when it was made, about the candidate and the live revision of now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.knowledge_base.declaration import GateSpec
from platform_pipelines.core.knowledge_base.evidence import COMPONENT
from platform_pipelines.core.knowledge_base.evidence_rules import rules
from platform_pipelines.core.knowledge_base.metrics import JUDGED
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.snapshot import Snapshot, snapshot_from_json
from platform_pipelines.core.road.verdicts import Expected, Verdict
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.gate_rules import policy_of
from platform_pipelines.stages.knowledge_base.judged_evidence import was_stopped
from platform_pipelines.stages.knowledge_base.revisions import INDEX
from platform_pipelines.stages.knowledge_base.stored_evidence import STAGE, read_evidence
from platform_pipelines.stages.road.approvals import read_approval
from platform_pipelines.stages.road.connect import release_log
from platform_pipelines.stages.road.signatures import require_signature
from platform_pipelines.stages.road.workspace import head_key


@dataclass(frozen=True, slots=True)
class Gated:
    """The evidence of the newest candidate, and the verdict on it now."""

    evidence: Evidence
    verdict: Verdict
    cost: Mapping[str, Any] | None = None  # what the judging took


def gate_now(settings: Settings, name: str) -> Gated:
    """The verdict on the candidate that was built last.

    Raises:
        EvidenceError: nothing was evaluated, or the evidence is gone.
        IntegrityError: it is not what its digest says, or a configured key did not sign it.
    """
    store = connect.open_knowledge_store(settings, name)
    head = _head(store, STAGE, name)
    built = _head(store, INDEX, name)
    evidence = read_evidence(store, head.details["evidence"])
    if evidence is None:
        raise EvidenceError(
            "the evidence is gone", where=name, remedy=f"run the job {name}_refresh again"
        )
    require_signature(settings, store, evidence.digest)
    verdict = _verdict(store, name, evidence, head, built.details["revision"])
    return Gated(evidence, verdict, head.details.get("judging"))


def _verdict(
    store: ObjectStore, name: str, evidence: Evidence, head: Snapshot, candidate: str
) -> Verdict:
    live = release_log(store, name).head()
    released = live is not None and live.revision == candidate
    baseline = evidence.baseline if released else (live.revision if live else None)
    expected = Expected(
        COMPONENT, candidate, baseline, head.details["golden_set"], evidence.conditions
    )
    gate = GateSpec.model_validate(head.details["rules"])
    judged = [m.name for m in evidence.metrics if m.name in JUDGED]
    policy = policy_of(gate, judged, stopped=was_stopped(evidence))
    approval = read_approval(store, evidence.digest)
    asked = rules(
        own_document_floor=gate.own_document_floor,
        coverage_floor=policy.coverage_floor,
        max_removed=gate.max_removed,
        max_unread=gate.max_unread,
        approved=approval.told if approval else "",
    )
    return decide(evidence, policy, expected, rules=asked)


def _head(store: ObjectStore, name: str, knowledge_base: str) -> Snapshot:
    key = head_key(name)
    if not store.exists(key):
        raise EvidenceError(
            f"there is no {name} of {knowledge_base!r} yet",
            where=f"{store.url}/{key}",
            remedy=f"run the job {knowledge_base}_refresh first",
        )
    data, _ = store.get(key)
    return snapshot_from_json(data, where=f"{store.url}/{key}")
