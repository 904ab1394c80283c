"""Asset checks: what must hold after each stage, with the numbers that show it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base.verdicts import is_by_declared_rules
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, its question, whether a failure stops the run, and how it is seen."""

    name: str
    description: str
    blocking: bool
    look: Callable[[Workspace, StageOutcome], tuple[bool, dict[str, Any]]]


def _nothing_quarantined(
    workspace: Workspace, outcome: StageOutcome
) -> tuple[bool, dict[str, Any]]:
    del workspace
    counts = outcome.snapshot.counts
    return counts.get("quarantined", 0) == 0, {
        "quarantined": counts.get("quarantined", 0),
        "parsed": counts.get("parsed", 0),
    }


def _chunks_nonempty(workspace: Workspace, outcome: StageOutcome) -> tuple[bool, dict[str, Any]]:
    documents, _ = workspace.head("documents")
    parsed = documents.counts.get("parsed", 0) if documents else 0
    counts = outcome.snapshot.counts
    return outcome.snapshot.rows > 0 and parsed > 0, {
        "chunks": outcome.snapshot.rows,
        "documents": parsed,
        "longest_tokens": counts.get("longest", 0),
    }


def _one_vector_a_chunk(workspace: Workspace, outcome: StageOutcome) -> tuple[bool, dict[str, Any]]:
    chunks, _ = workspace.head("chunks")
    expected = chunks.rows if chunks else -1
    return outcome.snapshot.rows == expected, {
        "vectors": outcome.snapshot.rows,
        "chunks": expected,
    }


def _counts_reconcile(workspace: Workspace, outcome: StageOutcome) -> tuple[bool, dict[str, Any]]:
    vectors, _ = workspace.head("vectors")
    expected = vectors.rows if vectors else -1
    stored = outcome.snapshot.counts.get("rows", 0)
    return stored == expected, {"stored": stored, "expected": expected}


def _gate_passes(workspace: Workspace, outcome: StageOutcome) -> tuple[bool, dict[str, Any]]:
    details = outcome.snapshot.details
    declared = is_by_declared_rules(workspace, outcome.snapshot)
    return details["verdict"] == "pass", {
        "verdict": details["verdict"],
        "rules": "as declared" if declared else "of its release; others are declared now",
        "proven": details["proven"],
        "reasons": "\n".join(details["reasons"]) or "every rule holds",
    }


def _readers_follow(workspace: Workspace, outcome: StageOutcome) -> tuple[bool, dict[str, Any]]:
    del workspace
    details = outcome.snapshot.details
    return details["alias_points_to"] == details["collection"], {
        "alias_points_to": str(details["alias_points_to"]),
        "released": details["collection"],
    }


CHECKS: dict[str, Check] = {
    "documents": Check(
        "nothing_quarantined", "Could every listed document be parsed?", False, _nothing_quarantined
    ),
    "chunks": Check("chunks_exist", "Did the documents give chunks?", True, _chunks_nonempty),
    "vectors": Check(
        "one_vector_a_chunk", "Is there a vector for every chunk?", True, _one_vector_a_chunk
    ),
    "index": Check(
        "counts_reconcile",
        "Does the collection hold as many rows as there are vectors?",
        True,
        _counts_reconcile,
    ),
    "evidence": Check("gate", "Does the gate pass on the evidence?", True, _gate_passes),
    "release": Check(
        "readers_follow", "Does the alias point to what the log released?", False, _readers_follow
    ),
}


def specs(key: dg.AssetKey, stage: str) -> Sequence[dg.AssetCheckSpec]:
    """The check specs of a stage's asset."""
    check = CHECKS[stage]
    return [
        dg.AssetCheckSpec(
            check.name, asset=key, description=check.description, blocking=check.blocking
        )
    ]


def results(
    workspace: Workspace, stage: str, outcome: StageOutcome
) -> Sequence[dg.AssetCheckResult]:
    """What the check of a stage saw. A failure that does not block is a warning."""
    check = CHECKS[stage]
    passed, numbers = check.look(workspace, outcome)
    severity = dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN
    return [
        dg.AssetCheckResult(
            check_name=check.name,
            passed=passed,
            severity=severity,
            description="; ".join(f"{name.replace('_', ' ')}: {n}" for name, n in numbers.items()),
            metadata=numbers,
        )
    ]
