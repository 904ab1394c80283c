"""What a knowledge base's evidence holds beside its scores, and its past.

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
from platform_pipelines.core.knowledge_base.copied import Copied
from platform_pipelines.core.knowledge_base.metrics import DECLARED
from platform_pipelines.core.knowledge_base.suspicion import Suspicious
from platform_pipelines.core.road.evidence import Evidence, Failure, Outcome, finite_outcome
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
    """Evidence that needs no labels: sampled sentences, and how many found their own document.

    A document that says the same counts as their own: `by_copy` are those that found only one.
    """

    sampled: int
    own_at_1: int
    own_at_k: int
    by_copy: int = 0
    missed: tuple[dict[str, str], ...] = ()  # the first: document, what was asked

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


def copied_fact(copied: Copied) -> dict[str, Any]:
    """As it stands in evidence."""
    return {"copied": asdict(copied)}


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


def copied_of(evidence: Evidence) -> Copied | None:
    """Documents that say what others say; None in evidence of earlier versions.

    Raises:
        IntegrityError: the fact is damaged.
    """
    return _read(Copied, "copied", evidence) if "copied" in evidence.facts else None


def judge_of(evidence: Evidence) -> Mapping[str, Any] | None:
    """Who judged, what it took, its noise; None where no judge was declared."""
    return evidence.facts.get("judge")


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
