"""By which rules a knowledge base's evidence is judged, and what a person has approved."""

from collections.abc import Sequence
from typing import Any

from platform_pipelines.core.knowledge_base import evidence_rules
from platform_pipelines.core.knowledge_base.declaration import GateSpec
from platform_pipelines.core.knowledge_base.metrics import (
    JUDGED,
    JUDGED_COMPARED,
    JUDGED_EFFECT,
    JUDGED_FLOORS,
)
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.verdicts import GatePolicy, Rule
from platform_pipelines.stages.knowledge_base.judged_evidence import (
    judged_metrics,
)
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.approvals import read_approval

COMPARED = ("ndcg",)  # with the live revision
_NOT_RULES = {"golden_set", "k"}  # they are what was asked, not how it is judged


def declared_rules(workspace: Workspace) -> dict[str, Any]:
    """The gate's rules, by their names in the declaration.

    Kept with each verdict: what is live is not judged again when they change.
    """
    return workspace.spec.gate.model_dump(mode="json", exclude=_NOT_RULES)


def approved(workspace: Workspace, evidence: Evidence | None) -> str:
    """Who approved this evidence, and why; empty when nobody did.

    Raises:
        IntegrityError: the approval is damaged.
    """
    found = read_approval(workspace.store, evidence.digest) if evidence else None
    return found.told if found else ""


def gate_policy(workspace: Workspace, *, stopped: bool = False) -> GatePolicy:
    """The declaration's gate."""
    names = [m.name for m in judged_metrics(workspace)]
    return policy_of(workspace.spec.gate, names, stopped=stopped)


def policy_of(gate: GateSpec, judged: Sequence[str], *, stopped: bool = False) -> GatePolicy:
    """A gate's policy. A judging that a budget stopped is asked for no judged score."""
    names = [] if stopped else judged
    floors = {m: f for m, f in JUDGED_FLOORS.items() if m in names}
    declared = {m: f for m, f in gate.floors.items() if m not in JUDGED or m in names}
    compared = [m for m in names if m == JUDGED_COMPARED]
    return GatePolicy(
        floors={**floors, **declared},
        compared=(*COMPARED, *compared),
        minimum_effect=gate.minimum_effect,
        minimum_effects={m: max(gate.minimum_effect, JUDGED_EFFECT) for m in compared},
        minimum_samples=gate.minimum_questions,
        sample_noun="questions",
    )


def gate_rules(workspace: Workspace, *, approved: str = "") -> list[Rule]:
    """What the gate asks of a knowledge base beside its metrics."""
    gate = workspace.spec.gate
    return evidence_rules.rules(
        own_document_floor=gate.own_document_floor,
        coverage_floor=gate_policy(workspace).coverage_floor,
        max_removed=gate.max_removed,
        max_unread=gate.max_unread,
        approved=approved,
    )
