"""Evidence: one name for one content, nothing that is not finite, and no edit that goes unseen."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.metrics import METRICS
from platform_pipelines.core.road.evidence import (
    Coverage,
    Evidence,
    Failure,
    Outcome,
    QuestionRow,
    RowCounts,
    SentenceSample,
    evidence_from_json,
    evidence_to_json,
    make_evidence,
    scored_outcome,
)
from platform_pipelines.errors import EvidenceError, IntegrityError

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


def outcome(score: float | None, failure: Failure | None = None) -> Outcome:
    return Outcome(scores=dict.fromkeys(METRICS, score), failure=failure, retrieved=("c1",))


def row(name: str, score: float | None = 1.0, **slices: str) -> QuestionRow:
    return QuestionRow(name, slices or {"language": "ko"}, outcome(score), outcome(0.5))


def evidence(*rows: QuestionRow, questions: int | None = None) -> Evidence:
    return Evidence(
        revision="r2",
        baseline="r1",
        golden_digest="g1",
        k=10,
        questions=len(rows) if questions is None else questions,
        rows=rows,
        counts=RowCounts(7, 7),
        sample=SentenceSample(20, 15, 19),
        calibration=CALIBRATION,
    )


SCORES = st.one_of(st.none(), st.floats(0, 1, allow_nan=False))


@settings(deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES, st.sampled_from(["ko", "en"])), max_size=6))
def test_json_round_trip_keeps_content_and_name(values) -> None:
    """What release reads back is what evaluation wrote, to the last bit."""
    rows = [
        QuestionRow(f"q{i}", {"language": lang}, outcome(c), outcome(b))
        for i, (c, b, lang) in enumerate(values)
    ]
    first = make_evidence(evidence(*rows))
    second = evidence_from_json(first.to_json())
    assert second == first
    assert second.digest == first.digest


def test_evidence_without_optional_parts_round_trips() -> None:
    """A first revision has no baseline, a newcomer no golden set, few questions no fit."""
    bare = Evidence("r1", None, None, 10, 0, (), RowCounts(3, 3), calibration_reason="too few")
    assert evidence_from_json(bare.to_json()) == bare
    unasked = QuestionRow("q", {}, outcome(None, Failure.UNRESOLVED))
    failed = evidence(unasked)
    assert evidence_from_json(failed.to_json()) == failed


@given(st.permutations(range(4)))
def test_the_order_of_the_rows_does_not_name_evidence(order: list[int]) -> None:
    """Questions are asked concurrently; their order of arrival is nothing."""
    rows = [row(f"q{i}", i / 4) for i in range(4)]
    shuffled = make_evidence(evidence(*(rows[i] for i in order)))
    assert shuffled.digest == make_evidence(evidence(*rows)).digest


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "r3"},
        {"baseline": None},
        {"golden_digest": "g2"},
        {"k": 5},
        {"counts": RowCounts(7, 6)},
        {"sample": None},
        {"calibration": None},
        {"calibration_reason": "x"},
        {"rows": (row("q1", 0.5),)},
    ],
)
def test_every_part_is_in_the_name(change: dict[str, object]) -> None:
    """A part outside the digest could be changed without anybody seeing it."""
    first = evidence(row("q1"))
    assert replace(first, **change).digest != first.digest


@pytest.mark.parametrize(
    "edit",
    [
        lambda r: r["rows"][0]["candidate"]["scores"].update(ndcg=1.0),
        lambda r: r["summary"].update(coverage=0.1),
        lambda r: r["summary"]["metrics"].update(ndcg=[1.0, 1, 0]),
        lambda r: r.update(revision="r9"),
        lambda r: r.update(digest="0" * 32),
        lambda r: r.update(note="trust me"),
        lambda r: r.update(counts=[7]),
        lambda r: r.update(schema=2),
        lambda r: r.pop("rows"),
        lambda r: r.pop("digest"),
        lambda r: r.update(rows=r["rows"] * 2, questions=2),
        lambda r: r["rows"][0]["candidate"].update(failure="bored"),
        lambda r: r["rows"][0]["candidate"]["scores"].update(ndcg=math.nan),
        lambda r: r["calibration"].pop("weights"),
    ],
)
def test_edited_evidence_is_refused(edit) -> None:
    """Evidence that a person improved must not release anything."""
    record = json.loads(evidence_to_json(evidence(row("q1", 0.25))))
    edit(record)
    with pytest.raises(IntegrityError):
        evidence_from_json(json.dumps(record), where="evidence.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_what_is_not_evidence_is_refused(text: str) -> None:
    """A truncated object is not an empty evaluation."""
    with pytest.raises(IntegrityError, match="not evidence"):
        evidence_from_json(text)


def test_not_finite_numbers_are_never_written() -> None:
    """`NaN` is no JSON, and other readers take it for 0, null or a crash."""
    with pytest.raises(EvidenceError, match="not finite"):
        evidence_to_json(evidence(row("q1", math.nan)))


def test_a_question_with_two_rows_is_refused() -> None:
    """It would count twice in every mean."""
    with pytest.raises(EvidenceError, match="two rows"):
        make_evidence(evidence(row("q1"), row("q1")))


@pytest.mark.parametrize("change", [{"questions": 0}, {"golden_digest": None}])
def test_more_rows_than_questions_are_refused(change: dict[str, object]) -> None:
    """Coverage above 100 % hides what is missing."""
    with pytest.raises(EvidenceError, match="more rows"):
        make_evidence(replace(evidence(row("q1")), **change))


def test_a_score_that_is_not_finite_becomes_a_failure() -> None:
    """NaN is recorded as what it is: no score, and why."""
    found = scored_outcome({"mrr": math.nan, "ndcg": 0.5}, retrieved=["a"], relevant=["a"])
    assert found.failure is Failure.NOT_FINITE
    assert found.scores == {"mrr": None, "ndcg": 0.5}
    assert found.value("mrr") == 0.0
    assert found.value("unknown") == 0.0
    assert found.value("ndcg") == 0.5


def test_undefined_precision_of_an_empty_result_is_no_failure() -> None:
    """The search worked and found nothing: judged, and 0."""
    found = scored_outcome({"context_precision": None, "ndcg": 0.0}, retrieved=[], relevant=["a"])
    assert found.failure is None


def test_a_question_without_relevant_chunks_is_unresolved() -> None:
    """A stale golden set lowers coverage; it does not vanish."""
    found = scored_outcome({"ndcg": None}, retrieved=["a"], relevant=[], unresolved_references=1)
    assert found.failure is Failure.UNRESOLVED
    assert found.unresolved_references == 1


def test_means_count_failures_as_zero_and_slices_group_by_value() -> None:
    """Means per language and per document type, each over its own rows."""
    rows = (
        row("q1", 1.0, language="ko", document_type="pdf"),
        row("q2", None, language="ko", document_type="chat"),
        row("q3", 0.5, language="en", document_type="pdf"),
    )
    found = evidence(*rows)
    assert found.metrics["ndcg"].mean == 0.5
    assert found.metrics["ndcg"].failures == 1
    assert found.baseline_metrics["ndcg"].mean == 0.5
    assert list(found.slices) == [
        "document_type=chat",
        "document_type=pdf",
        "language=en",
        "language=ko",
    ]
    assert found.slice_metrics["language=ko"]["ndcg"].mean == 0.5
    assert found.slice_metrics["document_type=pdf"]["ndcg"].mean == 0.75


def test_coverage_is_the_worse_of_questions_and_references() -> None:
    """A question with one of two references stale is judged, but on half of what it should be."""
    half = Outcome(dict.fromkeys(METRICS, 1.0), references=2, unresolved_references=1)
    lost = outcome(None, Failure.ERROR)
    rows = (QuestionRow("q1", {}, half), QuestionRow("q2", {}, lost))
    coverage = evidence(*rows, questions=4).coverage
    assert coverage == Coverage(questions=4, judged=1, references=3, unresolved_references=1)
    assert coverage.share == 0.25
    assert Coverage(2, 2, 4, 3).share == 0.25
    assert Coverage(0, 0, 0, 0).share == 0.0
    assert Coverage(1, 0, 0, 0).share == 0.0


def test_counts_reconcile_only_when_equal_and_not_zero() -> None:
    """An empty index agrees with an empty manifest, and answers nothing."""
    assert RowCounts(3, 3).reconcile
    assert not RowCounts(3, 2).reconcile
    assert not RowCounts(0, 0).reconcile


def test_the_share_of_no_sample_is_undefined() -> None:
    """0 of 0 sentences found their document: nothing was learnt."""
    assert SentenceSample(0, 0, 0).share_at_k is None
    assert SentenceSample(4, 1, 3).share_at_k == 0.75
