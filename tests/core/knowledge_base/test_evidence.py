"""What a knowledge base's evidence holds beside its scores, its rules, and its first schema."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from platform_pipelines.core.knowledge_base.calibration import Calibration, calibration_record
from platform_pipelines.core.knowledge_base.evidence import (
    COMPONENT,
    RowCounts,
    SentenceSample,
    Unread,
    calibration_of,
    conditions,
    counts_of,
    facts,
    k_of,
    references_of,
    sample_of,
    scored_outcome,
    upgrade_evidence,
)
from platform_pipelines.core.knowledge_base.evidence_rules import enough_read, rules
from platform_pipelines.core.knowledge_base.metrics import DECLARED, METRICS
from platform_pipelines.core.road.evidence import (
    Evidence,
    Failure,
    SampleRow,
    evidence_from_json,
    make_evidence,
)
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.verdicts import Code, Expected, GatePolicy, Status, Verdict
from platform_pipelines.errors import IntegrityError

CALIBRATION = Calibration(
    features=("a", "b"),
    means=(0.5, 0.0),
    scales=(1.0, 2.0),
    weights=(3.0, -1.5),
    intercept=0.25,
    threshold=0.625,
    false_answer_cost=2.0,
    answerable=80,
    unanswerable=10,
    supported=70,
    false_answers=1,
    false_refusals=6,
    unsupported_answers=2,
    folds=10,
)
ASKED = conditions(k=10, evaluation="5")
RULES = rules(own_document_floor=0.9, coverage_floor=0.98)


def row(number: int, *, references: int = 1, unresolved: int = 0) -> SampleRow:
    outcome = scored_outcome(
        dict.fromkeys(METRICS, 1.0),
        retrieved=["c1"],
        relevant=["c1"],
        references=references,
        unresolved_references=unresolved,
    )
    return SampleRow(f"q{number:03}", {"language": "ko"}, outcome, outcome)


def evidence(*rows: SampleRow, golden: str | None = "gold", **known: Any) -> Evidence:
    return Evidence(
        component=COMPONENT,
        revision="new",
        baseline="live" if rows else None,
        golden_digest=golden,
        conditions=ASKED,
        metrics=DECLARED,
        samples=len(rows),
        rows=rows,
        facts=facts(**{"counts": RowCounts(7, 7), "calibration": CALIBRATION, **known}),
    )


def judge(about: Evidence) -> Verdict:
    expected = Expected(COMPONENT, "new", about.baseline, about.golden_digest, ASKED)
    return decide(about, GatePolicy(compared=("ndcg",)), expected, rules=RULES)


GOOD = evidence(*(row(n) for n in range(30)))
LABEL_FREE = evidence(golden=None, sample=SentenceSample(20, 15, 19))


def test_a_score_that_is_not_finite_becomes_a_failure() -> None:
    """NaN is recorded as what it is: no score, and why."""
    found = scored_outcome({"mrr": math.nan, "ndcg": 0.5}, retrieved=["a"], relevant=["a"])
    assert found.failure is Failure.NOT_FINITE
    assert found.scores == {"mrr": None, "ndcg": 0.5}
    assert [GOOD.value(found, name) for name in ("mrr", "hit_at_1", "ndcg")] == [0.0, 0.0, 0.5]


def test_undefined_precision_of_an_empty_result_is_no_failure() -> None:
    """The search worked and found nothing: judged, and 0."""
    found = scored_outcome({"context_precision": None, "ndcg": 0.0}, retrieved=[], relevant=["a"])
    assert found.failure is None
    assert GOOD.value(found, "context_precision") == 0.0


def test_a_question_without_relevant_chunks_is_unresolved() -> None:
    """A stale golden set lowers coverage; it does not vanish."""
    found = scored_outcome({"ndcg": None}, retrieved=["a"], relevant=[], unresolved_references=1)
    assert found.failure is Failure.UNRESOLVED
    assert found.details["unresolved_references"] == 1


def test_counts_reconcile_only_when_equal_and_not_zero() -> None:
    """An empty index agrees with an empty manifest, and answers nothing."""
    assert RowCounts(3, 3).reconcile
    assert not RowCounts(3, 2).reconcile
    assert not RowCounts(0, 0).reconcile


def test_the_share_of_no_sample_is_undefined() -> None:
    """0 of 0 sentences found their document: nothing was learnt."""
    assert SentenceSample(0, 0, 0).share_at_k is None
    assert SentenceSample(4, 1, 3).share_at_k == 0.75


def test_facts_come_back_as_they_were_through_json() -> None:
    """The page, `ask` and the gate read them from what was stored."""
    for one in (GOOD, LABEL_FREE, evidence(calibration=None, calibration_reason="too few")):
        read = evidence_from_json(make_evidence(one).to_json())
        assert counts_of(read) == RowCounts(7, 7)
        assert k_of(read) == 10
        assert sample_of(read) == sample_of(one)
        assert calibration_of(read) == calibration_of(one)
    assert sample_of(LABEL_FREE) == SentenceSample(20, 15, 19)
    assert calibration_of(GOOD) == CALIBRATION


def test_a_fact_of_a_newer_version_is_read_without_what_is_new() -> None:
    """A count more in a newer version's evidence is no reason to refuse the release."""
    counts = {"expected": 7, "stored": 7, "deleted": 3}
    sample = {"sampled": 20, "own_at_1": 15, "own_at_k": 19, "seed": 4}
    newer = replace(GOOD, facts={**GOOD.facts, "counts": counts, "sample": sample})
    assert counts_of(newer) == RowCounts(7, 7)
    assert sample_of(newer) == SentenceSample(20, 15, 19)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("counts", None), ("counts", {"expected": 7}), ("counts", {"expected": "x", "stored": 7}),
        ("counts", 3), ("sample", {"sampled": 20}), ("sample", [20, 15, 19]),
        ("calibration", {"weights": [1.0]}), ("calibration", [3]),
    ],
)  # fmt: skip
def test_a_fact_that_is_not_what_it_should_be_is_an_error_with_its_name(
    name: str, value: object
) -> None:
    """A KeyError in the middle of a release names nothing and helps nobody."""
    damaged = replace(GOOD, facts={**GOOD.facts, name: value})
    without = replace(GOOD, facts={k: v for k, v in GOOD.facts.items() if k != name})
    read = {"counts": counts_of, "sample": sample_of, "calibration": calibration_of}[name]
    for one in (damaged, without):
        with pytest.raises(IntegrityError, match=name):
            read(one)


def test_good_evidence_passes() -> None:
    """All rules are content."""
    assert (judge(GOOD).status, judge(GOOD).proven) == (Status.PASS, True)


def test_rows_that_do_not_reconcile_fail() -> None:
    """The index lost rows that the manifest names: whatever it answers, it is not the revision."""
    verdict = judge(evidence(*GOOD.rows, counts=RowCounts(5, 4)))
    assert (verdict.status, [r.code for r in verdict.reasons]) == (Status.FAIL, ["counts"])


def test_more_documents_half_read_than_allowed_fail() -> None:
    """A corpus whose charts nobody could read answered from what was left."""
    found = evidence(*GOOD.rows, unread=Unread(10, 4, {"picture": 4}))
    (reason,) = enough_read(found, 0.3)
    assert (reason.status, reason.code) == (Status.FAIL, "unread")
    assert "4 of 10 documents" in reason.message
    assert "picture 4" in reason.message
    assert enough_read(found, 0.4) == []
    assert enough_read(GOOD, 0.0) == []  # evidence of an earlier version does not say


def test_stale_references_fail_with_a_hint() -> None:
    """A golden set whose quotes no longer exist measures the past."""
    stale = [row(n, unresolved=int(n == 0)) for n in range(30)]
    (reason,) = judge(evidence(*stale)).reasons
    assert (reason.status, reason.code) == (Status.FAIL, Code.COVERAGE)
    assert "1 of 30 references" in reason.message
    assert "quotes" in reason.message


def test_references_are_counted_beside_questions() -> None:
    """A question with one of two references stale is judged, but on half of what it should be."""
    half = [row(n, references=2, unresolved=int(n < 2)) for n in range(30)]
    found = evidence(*half)
    assert found.judged_share == 1.0
    assert (references_of(found).references, references_of(found).unresolved) == (60, 2)
    assert judge(found).status is Status.FAIL
    assert judge(evidence(*half[1:], row(0))).status is Status.PASS  # 59 of 60 are there
    nothing = replace(GOOD, rows=(), samples=0)
    assert Code.COVERAGE in [r.code for r in judge(nothing).reasons]


def test_evidence_without_labels_passes_unproven() -> None:
    """A newcomer's first folder is released, and its page says what is not known."""
    verdict = judge(LABEL_FREE)
    assert (verdict.status, verdict.proven) == (Status.PASS, False)
    assert [r.code for r in verdict.reasons] == [Code.UNPROVEN]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"counts": RowCounts(9, 8)}, Status.FAIL, "counts"),
        ({"counts": RowCounts(0, 0)}, Status.FAIL, "counts"),
        ({"sample": SentenceSample(20, 5, 10)}, Status.FAIL, "own_document"),
        ({"sample": SentenceSample(20, 5, 18)}, Status.PASS, Code.UNPROVEN),
        ({"sample": SentenceSample(0, 0, 0)}, Status.UNDECIDED, Code.MISSING),
        ({"sample": None}, Status.UNDECIDED, Code.MISSING),
    ],
)
def test_evidence_without_labels_still_has_conditions(
    change: dict[str, Any], status: Status, code: str
) -> None:
    """Unproven is not unchecked."""
    known = {"sample": sample_of(LABEL_FREE), **change}
    verdict = judge(evidence(golden=None, **known))
    assert verdict.status is status
    assert code in [r.code for r in verdict.reasons]


def test_an_own_document_share_says_nothing_beside_a_golden_set() -> None:
    """Labels are the stronger evidence: a sample, if there were one, is not asked."""
    assert judge(evidence(*GOOD.rows, sample=SentenceSample(20, 0, 0))).status is Status.PASS


def first_schema() -> dict[str, Any]:
    """Evidence as the first version wrote it."""
    outcome = {
        "scores": dict.fromkeys(METRICS, 1.0), "failure": None, "retrieved": ["c1"],
        "relevant": ["c1"], "references": [2, 1],
    }  # fmt: skip
    return {
        "schema": 1, "revision": "new", "baseline": None, "golden_digest": "gold", "k": 10,
        "questions": 1, "counts": [7, 7], "sample": [20, 15, 19],
        "calibration": calibration_record(CALIBRATION), "calibration_reason": "",
        "rows": [
            {"id": "q1", "slices": {"language": "ko"}, "candidate": outcome, "baseline": None},
        ],
        "summary": {"coverage": 0.5},
    }  # fmt: skip


def read_first(record: dict[str, Any]) -> Evidence:
    text = json.dumps({**record, "digest": digest_json(record)})
    return evidence_from_json(text, upgrade=upgrade_evidence)


def test_the_first_schema_is_read_under_its_own_digest() -> None:
    """What was released on it stays released on it; its numbers are today's."""
    record = first_schema()
    found = read_first(record)
    assert found.digest == digest_json(record)
    assert found.means["ndcg"].mean == 1.0
    assert references_of(found).unresolved == 1
    assert (counts_of(found), sample_of(found)) == (RowCounts(7, 7), SentenceSample(20, 15, 19))
    assert calibration_of(found) == CALIBRATION
    both = first_schema()
    both["rows"][0]["baseline"] = both["rows"][0]["candidate"]
    assert read_first(both).baseline_means["ndcg"].samples == 1
    assert sample_of(read_first(first_schema() | {"sample": None})) is None


def test_the_first_schema_does_not_release_again() -> None:
    """It did not say which version measured: under today's conditions it is foreign."""
    verdict = judge(read_first(first_schema()))
    assert verdict.status is Status.FAIL
    assert [r.code for r in verdict.reasons] == [Code.FOREIGN_CONDITIONS]


@pytest.mark.parametrize(
    "change", [{"schema": 2}, {"counts": [7]}, {"sample": 3}, {"rows": None}, {"rows": [3]}]
)
def test_what_is_not_of_the_first_schema_is_refused(change: dict[str, object]) -> None:
    """Under a digest of its own, and still no evidence."""
    with pytest.raises(IntegrityError, match="not evidence"):
        read_first(first_schema() | change)
