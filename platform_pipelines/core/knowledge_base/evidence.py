"""What a knowledge base's evidence holds beside its scores, the gate's rules about it, its past.

Facts: `counts` (rows that the manifest names and that the index holds), `sample` (sentences that
found their own document), `calibration` (when `ask` answers) and why there is none.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass as fact_class

from platform_pipelines.core.knowledge_base.calibration import (
    Calibration,
    calibration_from_record,
    calibration_record,
)
from platform_pipelines.core.knowledge_base.metrics import DECLARED
from platform_pipelines.core.knowledge_base.suspicion import Suspicious
from platform_pipelines.core.road.evidence import Evidence, Failure, Outcome, finite_outcome
from platform_pipelines.core.road.gate import Reason, Rule, Status
from platform_pipelines.core.road.records import CONFIG
from platform_pipelines.errors import IntegrityError

COMPONENT = "knowledge_base"
MASS_LOSS = "mass_loss"  # the one finding that a person may approve
LEAST_LOST = 5  # documents: fewer are an ordinary day
NAMED_LOST = 20  # in the evidence; all are counted

Model = TypeVar("Model")


@fact_class(frozen=True, config=CONFIG)
class RowCounts:
    """Chunks that the manifest says there are, and rows that the index counted."""

    expected: int
    stored: int

    @property
    def reconcile(self) -> bool:
        """Whether both are the same, and not zero."""
        return self.expected == self.stored > 0


@fact_class(frozen=True, config=CONFIG)
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


@dataclass(frozen=True, slots=True)
class Lost:
    """Documents of the live revision that the candidate lacks: gone, or not readable any more."""

    live: int
    lost: int
    named: tuple[str, ...]  # the first of them

    @property
    def share(self) -> float:
        """Of the live documents."""
        return self.lost / self.live if self.live else 0.0


@fact_class(frozen=True, config=CONFIG)
class Unread:
    """Parsed documents of which a part was not read, and how many by the kind of note."""

    documents: int
    noted: int
    kinds: dict[str, int]

    @property
    def share(self) -> float:
        """Of all parsed documents."""
        return self.noted / self.documents if self.documents else 0.0


def lost_documents(live: Collection[str], candidate: Collection[str], *, of: int) -> Lost:
    """What the candidate lacks of what is live; `of` is how many documents are live in all."""
    lost = sorted(set(live) - set(candidate))
    return Lost(live=max(of, len(live)), lost=len(lost), named=tuple(lost[:NAMED_LOST]))


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


def conditions(*, k: int, evaluation: str, judge: str = "", model: str = "") -> dict[str, Any]:
    """What both sides were measured under: how many chunks count, which version measured.

    With a judge: which, and who words the answers where that is no part of the revision.
    """
    judged = {"judge": judge, "model": model} if judge else {}
    return {"k": k, "evaluation": evaluation, **judged}


def k_of(evidence: Evidence) -> int:
    """How many chunks counted."""
    return int(evidence.conditions["k"])


def facts(
    counts: RowCounts,
    *,
    sample: SentenceSample | None = None,
    calibration: Calibration | None = None,
    calibration_reason: str = "",
    lost: Lost | None = None,
    judge: Mapping[str, Any] | None = None,
    unread: Unread | None = None,
    suspicious: Suspicious | None = None,
) -> dict[str, Any]:
    """As they stand in evidence."""
    return {
        **({"unread": asdict(unread)} if unread else {}),
        **({"suspicious": asdict(suspicious)} if suspicious else {}),
        **({"judge": dict(judge)} if judge else {}),
        "counts": asdict(counts),
        "sample": asdict(sample) if sample else None,
        "calibration": calibration_record(calibration) if calibration else None,
        "calibration_reason": calibration_reason,
        "lost": asdict(lost) if lost else None,
    }


def counts_of(evidence: Evidence) -> RowCounts:
    """Rows that should be there, and that are.

    Raises:
        IntegrityError: the fact is damaged.
    """
    return _read(RowCounts, "counts", evidence)


def sample_of(evidence: Evidence) -> SentenceSample | None:
    """The sampled sentences, where no golden set is declared.

    Raises:
        IntegrityError: the fact is damaged.
    """
    return None if _fact(evidence, "sample") is None else _read(SentenceSample, "sample", evidence)


def calibration_of(evidence: Evidence) -> Calibration | None:
    """When `ask` answers; None where the golden set did not suffice for a fit.

    Raises:
        IntegrityError: the fact is damaged.
    """
    record = _fact(evidence, "calibration")
    return None if record is None else calibration_from_record(record)


def _fact(evidence: Evidence, name: str) -> Any:
    if name not in evidence.facts:
        raise _damaged(evidence, name, "it is missing")
    return evidence.facts[name]


def _read(model: type[Model], name: str, evidence: Evidence) -> Model:
    """A fact; what a newer version added to it is not read."""
    try:
        return TypeAdapter(model).validate_python(_fact(evidence, name))
    except ValueError as error:
        raise _damaged(evidence, name, str(error)) from error


def _damaged(evidence: Evidence, name: str, problem: str) -> IntegrityError:
    return IntegrityError(
        f"the evidence's fact `{name}` cannot be read: {problem}",
        where=f"revision {evidence.revision}",
        remedy="delete the evidence's file and evaluate again",
    )


def references_of(evidence: Evidence) -> References:
    """Of all rows."""
    details = [row.candidate.details for row in evidence.rows]
    return References(
        sum(d.get("references", 0) for d in details),
        sum(d.get("unresolved_references", 0) for d in details),
    )


def lost_of(evidence: Evidence) -> Lost | None:
    """What is lost against the live revision; None before the first release."""
    record = evidence.facts.get("lost")
    return Lost(record["live"], record["lost"], tuple(record["named"])) if record else None


def unread_of(evidence: Evidence) -> Unread | None:
    """What was not read of the documents; None in evidence of earlier versions.

    Raises:
        IntegrityError: the fact is damaged.
    """
    return _read(Unread, "unread", evidence) if "unread" in evidence.facts else None


def suspicious_of(evidence: Evidence) -> Suspicious | None:
    """Passages that speak to a model; None in evidence of earlier versions.

    Raises:
        IntegrityError: the fact is damaged.
    """
    return _read(Suspicious, "suspicious", evidence) if "suspicious" in evidence.facts else None


def rules(
    *,
    own_document_floor: float,
    coverage_floor: float,
    max_removed: float = 1.0,
    max_unread: float = 1.0,
    approved: str = "",
) -> list[Rule]:
    """What the gate asks of a knowledge base beside its metrics.

    `approved` says who approved this very evidence, and why; empty when nobody did.
    """
    return [
        counts_reconcile,
        lambda evidence: nothing_lost(evidence, max_removed, approved=approved),
        lambda evidence: enough_read(evidence, max_unread),
        lambda evidence: own_documents(evidence, own_document_floor),
        lambda evidence: references_resolve(evidence, coverage_floor),
        judge_finished,
    ]


def counts_reconcile(evidence: Evidence) -> list[Reason]:
    """The index holds as many rows as there are chunks."""
    counts = counts_of(evidence)
    if counts.reconcile:
        return []
    message = f"the index holds {counts.stored} rows and the manifest names {counts.expected}"
    return [Reason(Status.FAIL, "counts", message)]


def nothing_lost(evidence: Evidence, max_removed: float, *, approved: str = "") -> list[Reason]:
    """A bucket that was emptied, or a key that lost its rights, is no ordinary change.

    It is held, not failed: a person may have meant it, and says so for exactly this evidence.
    """
    found = lost_of(evidence)
    if found is None or found.lost < LEAST_LOST or found.share <= max_removed:
        return []
    message = (
        f"{found.lost} of {found.live} live documents are gone or unreadable, the first: "
        f"{', '.join(found.named[:LEAST_LOST])}; more than {max_removed:.0%} is held"
    )
    if approved:
        return [Reason(Status.PASS, MASS_LOSS, f"{message}; approved by {approved}")]
    remedy = f"if it is meant, run `platform-pipelines approve NAME {evidence.revision[:12]}`"
    return [Reason(Status.UNDECIDED, MASS_LOSS, f"{message}. {remedy} --reason TEXT")]


def enough_read(evidence: Evidence, max_unread: float) -> list[Reason]:
    """A format that is only half read answers from what is left of it."""
    found = unread_of(evidence)
    if found is None or found.share <= max_unread:
        return []
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found.kinds.items()))
    message = (
        f"of {found.noted} of {found.documents} documents a part was not read ({kinds}); "
        f"more than {max_unread:.0%} is refused. The page of `documents` names them"
    )
    return [Reason(Status.FAIL, "unread", message)]


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


def judge_of(evidence: Evidence) -> Mapping[str, Any] | None:
    """Who judged, what it took, its noise; None where no judge was declared."""
    return evidence.facts.get("judge")


def judge_finished(evidence: Evidence) -> list[Reason]:
    """A budget that was spent leaves answers without a verdict: that is no pass, and no fail."""
    judge = judge_of(evidence)
    stopped = judge["stopped_by"] if judge else ""
    if not stopped:
        return []
    message = f"the judge's budget of {stopped} was spent before every answer was judged"
    return [Reason(Status.UNDECIDED, "judge_budget", message)]


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
