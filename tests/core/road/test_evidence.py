"""Evidence: one name for one content, nothing that is not finite, and no edit that goes unseen."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.road.evidence import (
    FORMAT,
    Evidence,
    Failure,
    Outcome,
    SampleRow,
    evidence_from_json,
    finite_outcome,
    make_evidence,
)
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.metrics import Direction, Metric, Undefined
from platform_pipelines.errors import ConfigurationError, EvidenceError, IntegrityError

METRICS = (
    Metric("ndcg"),
    Metric("seconds", unit="s", direction=Direction.LOWER, high=None, undefined=Undefined.LEFT_OUT),
)


def outcome(score: float | None, failure: Failure | None = None) -> Outcome:
    return Outcome(dict.fromkeys(("ndcg", "seconds"), score), failure, {"retrieved": ["c1"]})


def row(name: str, score: float | None = 1.0, **slices: str) -> SampleRow:
    return SampleRow(name, slices or {"language": "ko"}, outcome(score), outcome(0.5))


def evidence(*rows: SampleRow, samples: int | None = None) -> Evidence:
    return Evidence(
        component="toy",
        revision="r2",
        baseline="r1",
        golden_digest="g1",
        conditions={"k": 10},
        metrics=METRICS,
        samples=len(rows) if samples is None else samples,
        rows=rows,
        facts={"counts": {"expected": 7, "stored": 7}, "note": "비용", "cost": 0.25},
    )


def resealed(record: dict[str, Any], **changes: Any) -> str:
    """A record with other fields, under a digest of its own."""
    other = {k: v for k, v in {**record, **changes}.items() if k != "digest"}
    return json.dumps({**other, "digest": digest_json(other)})


SCORES = st.one_of(st.none(), st.floats(0, 1, allow_nan=False))


@settings(deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES, st.sampled_from(["ko", "en"])), max_size=6))
def test_json_round_trip_keeps_content_and_name(values) -> None:
    """What release reads back is what evaluation wrote, to the last bit."""
    rows = [
        SampleRow(f"q{i}", {"language": lang}, outcome(c), outcome(b))
        for i, (c, b, lang) in enumerate(values)
    ]
    first = make_evidence(evidence(*rows))
    second = evidence_from_json(first.to_json())
    assert second == first
    assert second.digest == first.digest
    assert second.to_json() == first.to_json()


def test_evidence_without_optional_parts_round_trips() -> None:
    """A first revision has no baseline, a newcomer no golden set, a component no facts."""
    bare = Evidence("toy", "r1", None, None, {}, METRICS, 0, ())
    assert evidence_from_json(bare.to_json()) == bare
    unasked = SampleRow("q", {}, outcome(None, Failure.UNRESOLVED))
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
        {"component": "other"},
        {"revision": "r3"},
        {"baseline": None},
        {"golden_digest": "g2"},
        {"conditions": {"k": 5}},
        {"metrics": (replace(METRICS[0], high=2.0), METRICS[1])},
        {"samples": 2},
        {"facts": {}},
        {"facts": {"counts": {"expected": 7, "stored": 6}, "note": "비용", "cost": 0.25}},
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
        lambda r: r["summary"].update(judged=0),
        lambda r: r["summary"]["metrics"].update(ndcg=[1.0, 1, 0, 0]),
        lambda r: r.update(revision="r9"),
        lambda r: r.update(digest="0" * 32),
        lambda r: r.update(note="trust me"),
        lambda r: r["facts"]["counts"].update(stored=8),
        lambda r: r.update(format=1),
        lambda r: r.pop("rows"),
        lambda r: r.pop("digest"),
        lambda r: r.update(rows=r["rows"] * 2, samples=2),
        lambda r: r["rows"][0]["candidate"].update(failure="bored"),
        lambda r: r["rows"][0]["candidate"]["scores"].update(ndcg=math.nan),
    ],
)
def test_edited_evidence_is_refused(edit) -> None:
    """Evidence that a person improved must not release anything."""
    record = json.loads(evidence(row("q1", 0.25)).to_json())
    edit(record)
    with pytest.raises(IntegrityError):
        evidence_from_json(json.dumps(record), where="evidence.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"summary": {"judged": 1}},
        {"summary": None},
        {"rows": []},
        {"samples": 0},
        {"format": FORMAT + 1, "written_by": "9.0"},
        {"format": True},
        {"rows": [{"sample_id": "q1"}]},
        {"metrics": "ndcg"},
    ],
)
def test_edited_evidence_under_a_new_digest_is_refused(changes: dict[str, object]) -> None:
    """Who can compute the digest again still cannot make means that the rows do not have."""
    record = json.loads(evidence(row("q1", 0.25)).to_json())
    with pytest.raises(IntegrityError):
        evidence_from_json(resealed(record, **changes), where="evidence.json")


def test_a_score_outside_its_range_is_refused_when_it_is_read() -> None:
    """Written by other hands, under a digest and with means that fit: an nDCG of 40."""
    forged = evidence(row("q1", 40.0))
    with pytest.raises(IntegrityError, match="outside its metric's range"):
        evidence_from_json(forged.to_json(), where="evidence.json")


def test_a_field_of_a_newer_version_is_kept_and_covered_by_the_digest() -> None:
    """An older reader still verifies what a newer one wrote: nothing is dropped or rewritten."""
    record = json.loads(evidence(row("q1")).to_json())
    newer = resealed(record, colour="red", written_by="9.0")
    read = evidence_from_json(newer)
    assert read.written_by == "9.0"
    assert read.digest == json.loads(newer)["digest"] != record["digest"]
    assert json.loads(read.to_json()) == json.loads(newer)
    with pytest.raises(IntegrityError, match="not what its digest says"):
        evidence_from_json(newer.replace("red", "blue"))


def test_an_older_format_needs_the_upgrade_of_its_component() -> None:
    """Format 1 was the knowledge base's own; any other component never wrote one."""
    record = json.loads(evidence(row("q1")).to_json())
    older = resealed(record, format=1)
    with pytest.raises(IntegrityError, match="not evidence"):
        evidence_from_json(older)
    read = evidence_from_json(older, upgrade=lambda raw: raw)
    assert (read.format, read.rows) == (FORMAT, evidence(row("q1")).rows)
    assert read.digest == json.loads(older)["digest"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "[" * 100_000])
def test_what_is_not_evidence_is_refused(text: str) -> None:
    """A truncated object is not an empty evaluation."""
    with pytest.raises(IntegrityError, match="evidence"):
        evidence_from_json(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_not_read(number: str) -> None:
    """JSON has no NaN, and 1e999 becomes an infinity without a word."""
    text = evidence(row("q1", 0.25)).to_json().replace("0.25", number)
    with pytest.raises(IntegrityError, match="no number of JSON"):
        evidence_from_json(text)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_finite_numbers_are_never_written(bad: float) -> None:
    """`NaN` is no JSON, and other readers take it for 0, null or a crash."""
    with pytest.raises(EvidenceError, match="not finite"):
        evidence(row("q1", bad)).to_json()
    with pytest.raises(EvidenceError, match="not finite"):
        replace(evidence(), facts={"cost": bad}).to_json()
    with pytest.raises(EvidenceError, match="not finite"):
        _ = replace(evidence(), conditions={"temperature": bad}).digest


def test_a_sample_with_two_rows_is_refused() -> None:
    """It would count twice in every mean."""
    with pytest.raises(EvidenceError, match="two rows"):
        make_evidence(evidence(row("q1"), row("q1")))


@pytest.mark.parametrize("change", [{"samples": 0}, {"golden_digest": None}])
def test_more_rows_than_samples_are_refused(change: dict[str, object]) -> None:
    """Coverage above 100 % hides what is missing."""
    with pytest.raises(EvidenceError, match="more rows"):
        make_evidence(replace(evidence(row("q1")), **change))


@pytest.mark.parametrize("side", ["candidate", "baseline"])
@pytest.mark.parametrize(("name", "score"), [("ndcg", 1.5), ("ndcg", -0.1), ("seconds", -1.0)])
def test_a_score_outside_its_range_is_refused(side: str, name: str, score: float) -> None:
    """An index with duplicate rows reached an nDCG above 1, and passed every floor."""
    wrong = replace(row("q1"), **{side: Outcome({name: score})})
    with pytest.raises(EvidenceError, match="outside its metric's range") as caught:
        make_evidence(evidence(wrong))
    assert "q1" in str(caught.value)


def test_a_score_without_a_declared_metric_or_without_a_value_is_in_no_range() -> None:
    """What is not declared is not judged; what is not finite is the gate's to refuse."""
    loose = SampleRow("q1", {}, Outcome({"bleu": 40.0, "ndcg": None, "seconds": math.nan}))
    assert make_evidence(evidence(loose)).rows == (loose,)


@pytest.mark.parametrize(
    "metrics",
    [(METRICS[0], METRICS[0]), (Metric("ndcg", low=None),), (Metric("ndcg", low=1.0, high=0.0),)],
)
def test_metrics_that_could_not_be_meant_make_no_evidence(metrics: tuple[Metric, ...]) -> None:
    """A failure without a worst score would vanish from the mean."""
    wrong = replace(evidence(row("q1")), metrics=metrics)
    with pytest.raises(ConfigurationError, match="metric ndcg"):
        make_evidence(wrong)
    with pytest.raises(IntegrityError, match="metric ndcg"):
        evidence_from_json(wrong.to_json())


def test_a_score_that_is_not_finite_becomes_a_failure() -> None:
    """NaN is recorded as what it is: no score, and why."""
    found = finite_outcome(Outcome({"ndcg": math.nan, "seconds": 0.5}, details={"x": 1}))
    assert found.failure is Failure.NOT_FINITE
    assert found.scores == {"ndcg": None, "seconds": 0.5}
    assert found.details == {"x": 1}
    lost = finite_outcome(Outcome({"ndcg": math.inf}, Failure.UNRESOLVED))
    assert (lost.failure, lost.scores) == (Failure.UNRESOLVED, {"ndcg": None})
    whole = Outcome({"ndcg": 0.5})
    assert finite_outcome(whole) is whole


def test_an_outcome_counts_as_its_metric_declares() -> None:
    """A failure scores the worst; what is left out is no value; an unknown name is an error."""
    found = evidence()
    assert found.value(Outcome({"ndcg": None}), "ndcg") == 0.0
    assert found.value(Outcome({}), "ndcg") == 0.0
    assert found.value(Outcome({"ndcg": 0.5}), "ndcg") == 0.5
    assert found.value(Outcome({"seconds": None}), "seconds") is None
    with pytest.raises(EvidenceError, match="no such metric") as caught:
        found.value(Outcome({"bleu": 1.0}), "bleu")
    assert (caught.value.stored, caught.value.expected) == ("ndcg, seconds", "bleu")


def test_means_count_failures_as_the_worst_and_slices_group_by_value() -> None:
    """Means per language and per document type, each over its own rows."""
    rows = (
        row("q1", 1.0, language="ko", document_type="pdf"),
        row("q2", None, language="ko", document_type="chat"),
        row("q3", 0.5, language="en", document_type="pdf"),
    )
    found = evidence(*rows)
    assert found.means["ndcg"].mean == 0.5
    assert found.means["ndcg"].failures == 1
    assert (found.means["seconds"].mean, found.means["seconds"].left_out) == (0.75, 1)
    assert found.baseline_means["ndcg"].mean == 0.5
    assert list(found.slices) == [
        "document_type=chat",
        "document_type=pdf",
        "language=en",
        "language=ko",
    ]
    assert found.slice_means["language=ko"]["ndcg"].mean == 0.5
    assert found.slice_means["document_type=pdf"]["ndcg"].mean == 0.75


def test_the_baseline_mean_is_over_what_it_was_asked() -> None:
    """A new document's question, of which live was never asked, is no failure of live."""
    found = evidence(row("q1"), replace(row("q2"), baseline=None))
    assert (found.baseline_means["ndcg"].mean, found.baseline_means["ndcg"].samples) == (0.5, 1)


def test_the_judged_share_is_of_what_there_should_be() -> None:
    """A row that failed, and a row that is missing, were both not judged."""
    lost = SampleRow("q2", {}, outcome(None, Failure.ERROR))
    found = evidence(row("q1"), lost, samples=4)
    assert (found.judged, found.judged_share) == (1, 0.25)
    assert evidence().judged_share == 0.0
    assert evidence(row("q1")).judged_share == 1.0
