"""What a knowledge base's evidence holds beside its scores, the gate's rules about it, its past.

Facts: `counts` (rows that the manifest names and that the index holds), `sample` (sentences that
found their own document), `calibration` (when `ask` answers) and why there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from platform_pipelines.core.knowledge_base.calibration import (
    Calibration,
    calibration_from_record,
    calibration_record,
)
from platform_pipelines.core.knowledge_base.metrics import DECLARED
from platform_pipelines.core.road.evidence import Evidence, Failure, Outcome, finite_outcome
from platform_pipelines.core.road.gate import Reason, Rule, Status

COMPONENT = "knowledge_base"


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Chunks that the manifest says there are, and rows that the index counted."""

    expected: int
    stored: int

    @property
    def reconcile(self) -> bool:
        """Whether both are the same, and not zero."""
        return self.expected == self.stored > 0


@dataclass(frozen=True, slots=True)
class SentenceSample:
    """Evidence that needs no labels: sampled sentences, and how many found their own document."""

    sampled: int
    own_at_1: int
    own_at_k: int

    @property
    def share_at_k(self) -> float | None:
        """Share whose own document is among the first k; None when nothing was sampled."""
        return self.own_at_k / self.sampled if self.sampled else None


@dataclass(frozen=True, slots=True)
class References:
    """How many references the golden questions have, and how many no chunk holds."""

    references: int
    unresolved: int


def scored_outcome(
    scores: Mapping[str, float | None],
    *,
    retrieved: Sequence[str],
    relevant: Sequence[str],
    references: int = 1,
    unresolved_references: int = 0,
) -> Outcome:
    """A question's outcome with its failure found: nothing relevant, or a score not finite."""
    return finite_outcome(
        Outcome(
            scores=scores,
            failure=None if relevant else Failure.UNRESOLVED,
            details={
                "references": references,
                "unresolved_references": unresolved_references,
                "retrieved": list(retrieved),
                "relevant": list(relevant),
            },
        )
    )


def conditions(*, k: int, evaluation: str) -> dict[str, Any]:
    """What both sides were measured under: how many chunks count, which version measured."""
    return {"k": k, "evaluation": evaluation}


def k_of(evidence: Evidence) -> int:
    """How many chunks counted."""
    return int(evidence.conditions["k"])


def facts(
    counts: RowCounts,
    *,
    sample: SentenceSample | None = None,
    calibration: Calibration | None = None,
    calibration_reason: str = "",
) -> dict[str, Any]:
    """As they stand in evidence."""
    return {
        "counts": asdict(counts),
        "sample": asdict(sample) if sample else None,
        "calibration": calibration_record(calibration) if calibration else None,
        "calibration_reason": calibration_reason,
    }


def counts_of(evidence: Evidence) -> RowCounts:
    """Rows that should be there, and that are."""
    return RowCounts(**evidence.facts["counts"])


def sample_of(evidence: Evidence) -> SentenceSample | None:
    """The sampled sentences, where no golden set is declared."""
    sample = evidence.facts["sample"]
    return SentenceSample(**sample) if sample else None


def calibration_of(evidence: Evidence) -> Calibration | None:
    """When `ask` answers; None where the golden set did not suffice for a fit.

    Raises:
        IntegrityError: the fact is damaged.
    """
    record = evidence.facts["calibration"]
    return calibration_from_record(record) if record else None


def references_of(evidence: Evidence) -> References:
    """Of all rows."""
    details = [row.candidate.details for row in evidence.rows]
    return References(
        sum(d.get("references", 0) for d in details),
        sum(d.get("unresolved_references", 0) for d in details),
    )


def rules(*, own_document_floor: float, coverage_floor: float) -> list[Rule]:
    """What the gate asks of a knowledge base beside its metrics."""
    return [
        counts_reconcile,
        lambda evidence: own_documents(evidence, own_document_floor),
        lambda evidence: references_resolve(evidence, coverage_floor),
    ]


def counts_reconcile(evidence: Evidence) -> list[Reason]:
    """The index holds as many rows as there are chunks."""
    counts = counts_of(evidence)
    if counts.reconcile:
        return []
    message = f"the index holds {counts.stored} rows and the manifest names {counts.expected}"
    return [Reason(Status.FAIL, "counts", message)]


def own_documents(evidence: Evidence, floor: float) -> list[Reason]:
    """Without labels: sampled sentences find their own document."""
    if evidence.golden_digest is not None:
        return []
    sample = sample_of(evidence)
    share = sample.share_at_k if sample else None
    if share is None:
        message = "no sentence was sampled; evaluate again"
        return [Reason(Status.UNDECIDED, "missing", message)]
    if share >= floor:
        return []
    message = f"{share:.3f} of the sampled sentences find their own document; the floor is {floor}"
    return [Reason(Status.FAIL, "own_document", message)]


def references_resolve(evidence: Evidence, floor: float) -> list[Reason]:
    """The documents still hold what the golden set quotes from them."""
    if evidence.golden_digest is None:
        return []
    found = references_of(evidence)
    resolved = 1.0 - found.unresolved / found.references if found.references else 0.0
    if resolved >= floor:
        return []
    message = (
        f"{found.unresolved} of {found.references} references found nowhere, or with other "
        f"numbers; the floor is {floor:.0%}: correct the golden set's quotes"
    )
    return [Reason(Status.FAIL, "coverage", message)]


def upgrade_evidence(old: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence of the first schema, in today's shape. It did not name its evaluation's version.

    Raises:
        KeyError, TypeError, ValueError: it is not of that schema.
    """
    if old["schema"] != 1:
        raise ValueError(f"schema {old['schema']}")
    counts, sample = old["counts"], old["sample"]
    return {
        "component": COMPONENT,
        "revision": old["revision"],
        "baseline": old["baseline"],
        "golden_digest": old["golden_digest"],
        "conditions": conditions(k=old["k"], evaluation=""),
        "metrics": [asdict(metric) for metric in DECLARED],
        "samples": old["questions"],
        "rows": [_upgrade_row(row) for row in old["rows"]],
        "facts": {
            "counts": asdict(RowCounts(*counts)),
            "sample": asdict(SentenceSample(*sample)) if sample else None,
            "calibration": old["calibration"],
            "calibration_reason": old["calibration_reason"],
        },
        "written_by": "0.1.0 or earlier",
    }


def _upgrade_row(row: Mapping[str, Any]) -> dict[str, Any]:
    baseline = row["baseline"]
    return {
        "sample_id": row["id"],
        "slices": row["slices"],
        "candidate": _upgrade_outcome(row["candidate"]),
        "baseline": _upgrade_outcome(baseline) if baseline else None,
    }


def _upgrade_outcome(outcome: Mapping[str, Any]) -> dict[str, Any]:
    references, unresolved = outcome["references"]
    return {
        "scores": outcome["scores"],
        "failure": outcome["failure"],
        "details": {
            "references": references,
            "unresolved_references": unresolved,
            "retrieved": outcome["retrieved"],
            "relevant": outcome["relevant"],
        },
    }
