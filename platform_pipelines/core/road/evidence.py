"""Evidence: a report about one revision, one baseline and one golden set, named by its digest.

Rows are the truth; means, slices and coverage are computed from them. The JSON holds those too, for
its readers, and reading it back checks that they are what the rows say.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from platform_pipelines.core.knowledge_base.calibration import (
    Calibration,
    calibration_from_record,
    calibration_record,
)
from platform_pipelines.core.knowledge_base.metrics import METRICS, MeanScore, mean_score
from platform_pipelines.core.road.identity import Json, canonical_json, digest_json
from platform_pipelines.errors import EvidenceError, IntegrityError

SCHEMA = 1


class Failure(StrEnum):
    """Why a question has no score on a revision."""

    UNRESOLVED = "unresolved"  # no chunk of the revision holds what the golden set quotes
    NOT_FINITE = "not_finite"  # a metric came out as NaN or infinite
    ERROR = "error"  # the search or the metric failed


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question on one revision. A score of None is undefined, and counts as a failure."""

    scores: Mapping[str, float | None]
    failure: Failure | None = None
    references: int = 1
    unresolved_references: int = 0
    retrieved: tuple[str, ...] = ()
    relevant: tuple[str, ...] = ()

    def value(self, metric: str) -> float:
        """The score, 0 where it is undefined: what a person who asked got."""
        score = self.scores.get(metric)
        return score if score is not None and math.isfinite(score) else 0.0


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One answerable golden question. `slices`, e.g. {"language": "ko", "document_type": "pdf"}."""

    question_id: str
    slices: Mapping[str, str]
    candidate: Outcome
    baseline: Outcome | None = None


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
class Coverage:
    """How much of the golden set could be judged. `questions` is how many there should be."""

    questions: int
    judged: int
    references: int
    unresolved_references: int

    @property
    def share(self) -> float:
        """The smaller of the judged share of questions and the resolved share of references."""
        if not self.questions or not self.references:
            return 0.0
        resolved = 1.0 - self.unresolved_references / self.references
        return min(self.judged / self.questions, resolved)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Made by `make_evidence` or `evidence_from_json`, which keep the rows sorted and unique."""

    revision: str
    baseline: str | None
    golden_digest: str | None  # None: evidence without labels
    k: int
    questions: int  # answerable questions of the golden set
    rows: tuple[QuestionRow, ...]
    counts: RowCounts
    sample: SentenceSample | None = None
    calibration: Calibration | None = None
    calibration_reason: str = ""  # why there is no calibration

    @property
    def metrics(self) -> dict[str, MeanScore]:
        """Means over all questions of the candidate."""
        return _means([r.candidate for r in self.rows])

    @property
    def baseline_metrics(self) -> dict[str, MeanScore]:
        """Means over the questions that the baseline was asked too."""
        return _means([r.baseline for r in self.rows if r.baseline is not None])

    @property
    def slices(self) -> dict[str, tuple[QuestionRow, ...]]:
        """Rows by slice; the names are `dimension=value`, sorted."""
        groups: dict[str, list[QuestionRow]] = {}
        for row in self.rows:
            for dimension, value in row.slices.items():
                groups.setdefault(f"{dimension}={value}", []).append(row)
        return {name: tuple(groups[name]) for name in sorted(groups)}

    @property
    def slice_metrics(self) -> dict[str, dict[str, MeanScore]]:
        """Means of the candidate by slice."""
        return {n: _means([r.candidate for r in rows]) for n, rows in self.slices.items()}

    @property
    def coverage(self) -> Coverage:
        """Questions without a row, and rows with a failure, are not judged."""
        return Coverage(
            questions=self.questions,
            judged=sum(r.candidate.failure is None for r in self.rows),
            references=sum(r.candidate.references for r in self.rows),
            unresolved_references=sum(r.candidate.unresolved_references for r in self.rows),
        )

    @property
    def digest(self) -> str:
        """Digest of the whole content: the name of this evidence.

        Raises:
            EvidenceError: a number in it is not finite.
        """
        return digest_json(_finite_record(self))


def scored_outcome(
    scores: Mapping[str, float | None],
    *,
    retrieved: Sequence[str],
    relevant: Sequence[str],
    references: int = 1,
    unresolved_references: int = 0,
) -> Outcome:
    """An outcome with its failure found: nothing relevant, or a score not finite (now None)."""
    clean = {m: s if s is not None and math.isfinite(s) else None for m, s in scores.items()}
    broken = any(s is not None and not math.isfinite(s) for s in scores.values())
    failure = Failure.NOT_FINITE if broken else None
    return Outcome(
        scores=clean,
        failure=failure if relevant else Failure.UNRESOLVED,
        references=references,
        unresolved_references=unresolved_references,
        retrieved=tuple(retrieved),
        relevant=tuple(relevant),
    )


def make_evidence(evidence: Evidence) -> Evidence:
    """The same evidence with its rows in order of their ids.

    Raises:
        EvidenceError: a question has two rows, or there are more rows than questions.
    """
    ids = [row.question_id for row in evidence.rows]
    where = f"revision {evidence.revision}"
    if len(set(ids)) != len(ids):
        twice = sorted({i for i in ids if ids.count(i) > 1})
        raise EvidenceError("a question has two rows", where=where, stored=twice)
    if len(ids) > evidence.questions or (ids and evidence.golden_digest is None):
        raise EvidenceError(
            "more rows than the golden set has questions",
            where=where,
            stored=len(ids),
            expected=evidence.questions if evidence.golden_digest else 0,
        )
    return replace(evidence, rows=tuple(sorted(evidence.rows, key=lambda row: row.question_id)))


def evidence_to_json(evidence: Evidence) -> str:
    """One JSON text with the digest of everything else in it.

    Raises:
        EvidenceError: a number is not finite (write None and a `Failure` instead).
    """
    return canonical_json({**_finite_record(evidence), "digest": evidence.digest})


def evidence_from_json(text: str, *, where: str = "") -> Evidence:
    """Read evidence back and certify it.

    Raises:
        IntegrityError: not evidence, another schema, or content that is not what its digest says.
    """
    try:
        record = json.loads(text)
        evidence = _evidence(record)
        found, stated = evidence.digest, record["digest"]
    except (ValueError, KeyError, TypeError, AttributeError, EvidenceError) as error:
        raise IntegrityError("not evidence", where=where, stored=repr(error)) from error
    # The rebuilt digest covers the summaries too: they are recomputed from the rows.
    if found != stated or canonical_json(record) != evidence_to_json(evidence):
        raise IntegrityError(
            "evidence is not what its digest says",
            where=where,
            stored=found,
            expected=stated,
            remedy="evaluate the revision again; do not edit evidence",
        )
    return evidence


def _means(outcomes: Sequence[Outcome]) -> dict[str, MeanScore]:
    return {m: mean_score([o.scores.get(m) for o in outcomes]) for m in METRICS}


def _finite_record(evidence: Evidence) -> dict[str, Json]:
    record = _record(evidence)
    try:
        canonical_json(record)
    except ValueError as error:
        raise EvidenceError(
            "evidence holds a number that is not finite",
            where=f"revision {evidence.revision}",
            remedy="record None and the failure `not_finite`",
        ) from error
    return record


def _record(evidence: Evidence) -> dict[str, Json]:
    calibration, sample, coverage = evidence.calibration, evidence.sample, evidence.coverage
    return {
        "schema": SCHEMA,
        "revision": evidence.revision,
        "baseline": evidence.baseline,
        "golden_digest": evidence.golden_digest,
        "k": evidence.k,
        "questions": evidence.questions,
        "rows": [_row_record(row) for row in evidence.rows],
        "counts": [evidence.counts.expected, evidence.counts.stored],
        "sample": [sample.sampled, sample.own_at_1, sample.own_at_k] if sample else None,
        "calibration": calibration_record(calibration) if calibration else None,
        "calibration_reason": evidence.calibration_reason,
        "summary": {
            "metrics": _means_record(evidence.metrics),
            "baseline_metrics": _means_record(evidence.baseline_metrics),
            "slices": {n: _means_record(m) for n, m in evidence.slice_metrics.items()},
            "coverage": coverage.share,
            "judged": coverage.judged,
            "unresolved_references": coverage.unresolved_references,
        },
    }


def _means_record(means: Mapping[str, MeanScore]) -> dict[str, Json]:
    return {m: [s.mean, s.questions, s.failures] for m, s in means.items()}


def _row_record(row: QuestionRow) -> dict[str, Json]:
    return {
        "id": row.question_id,
        "slices": dict(row.slices),
        "candidate": _outcome_record(row.candidate),
        "baseline": _outcome_record(row.baseline) if row.baseline else None,
    }


def _outcome_record(outcome: Outcome) -> dict[str, Json]:
    return {
        "scores": {m: None if s is None else float(s) for m, s in outcome.scores.items()},
        "failure": outcome.failure,
        "references": [outcome.references, outcome.unresolved_references],
        "retrieved": outcome.retrieved,
        "relevant": outcome.relevant,
    }


def _evidence(record: Mapping[str, Any]) -> Evidence:
    if record["schema"] != SCHEMA:
        raise EvidenceError("evidence of another schema", stored=record["schema"], expected=SCHEMA)
    calibration = record["calibration"]
    return make_evidence(
        Evidence(
            revision=record["revision"],
            baseline=record["baseline"],
            golden_digest=record["golden_digest"],
            k=record["k"],
            questions=record["questions"],
            rows=tuple(_row(r) for r in record["rows"]),
            counts=RowCounts(*record["counts"]),
            sample=SentenceSample(*record["sample"]) if record["sample"] else None,
            calibration=calibration_from_record(calibration) if calibration else None,
            calibration_reason=record["calibration_reason"],
        )
    )


def _row(record: Mapping[str, Any]) -> QuestionRow:
    baseline = record["baseline"]
    return QuestionRow(
        question_id=record["id"],
        slices=record["slices"],
        candidate=_outcome(record["candidate"]),
        baseline=_outcome(baseline) if baseline else None,
    )


def _outcome(record: Mapping[str, Any]) -> Outcome:
    references, unresolved = record["references"]
    return Outcome(
        scores=record["scores"],
        failure=Failure(record["failure"]) if record["failure"] else None,
        references=references,
        unresolved_references=unresolved,
        retrieved=tuple(record["retrieved"]),
        relevant=tuple(record["relevant"]),
    )
