"""The gate: what never passes, what always passes, and how often chance decides."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.metrics import METRICS
from platform_pipelines.core.road.evidence import (
    Evidence,
    Failure,
    Outcome,
    QuestionRow,
    RowCounts,
    SentenceSample,
)
from platform_pipelines.core.road.gate import (
    Code,
    GatePolicy,
    Status,
    Verdict,
    check_policy,
    decide,
)
from platform_pipelines.errors import ConfigurationError

POLICY = GatePolicy(floors={"context_recall": 0.8}, resamples=1000)


def outcome(score: float | None, failure: Failure | None = None) -> Outcome:
    return Outcome(scores=dict.fromkeys(METRICS, score), failure=failure)


def rows(candidate, baseline=None, *, slices=None) -> tuple[QuestionRow, ...]:
    before = [None] * len(candidate) if baseline is None else baseline
    groups = slices or [{}] * len(candidate)
    return tuple(
        QuestionRow(f"q{i:03}", group, outcome(c), None if b is None else outcome(b))
        for i, (c, b, group) in enumerate(zip(candidate, before, groups, strict=True))
    )


def golden(asked: tuple[QuestionRow, ...], *, baseline: str | None = "live") -> Evidence:
    return Evidence("new", baseline, "gold", 10, len(asked), asked, RowCounts(5, 5))


def judge(evidence: Evidence | None, policy: GatePolicy = POLICY, **expected) -> Verdict:
    given_baseline = evidence.baseline if evidence else None
    given_golden = evidence.golden_digest if evidence else "gold"
    return decide(
        evidence,
        policy,
        expect_revision=expected.get("revision", "new"),
        expect_baseline=expected.get("baseline", given_baseline),
        expect_golden_digest=expected.get("golden", given_golden),
        expect_k=expected.get("k", 10),
    )


def codes(verdict: Verdict) -> list[Code]:
    return [r.code for r in verdict.reasons]


GOOD = golden(rows([1.0] * 30, [1.0] * 30))


def test_good_evidence_passes_and_is_proven() -> None:
    """The one way through."""
    verdict = judge(GOOD)
    assert verdict == Verdict(Status.PASS, (), None, proven=True)


def test_identical_results_pass_at_any_score_above_the_floor() -> None:
    """A/A without noise: no difference is certainly not worse, even with no margin at all."""
    scores = [1.0, 0.9, 0.63, 0.8] * 10
    policy = replace(POLICY, minimum_effect=0.0)
    assert judge(golden(rows(scores, scores)), policy).status is Status.PASS


def test_missing_evidence_is_undecided() -> None:
    """Not yet evaluated is not bad; it is not good either."""
    verdict = judge(None)
    assert (verdict.status, codes(verdict), verdict.proven) == (
        Status.UNDECIDED,
        [Code.MISSING],
        False,
    )


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ({"revision": "newer"}, Code.FOREIGN_REVISION),
        ({"baseline": "other"}, Code.FOREIGN_BASELINE),
        ({"baseline": None}, Code.FOREIGN_BASELINE),
        ({"golden": "edited"}, Code.FOREIGN_GOLDEN_SET),
        ({"golden": None}, Code.FOREIGN_GOLDEN_SET),
        ({"k": 1}, Code.FOREIGN_K),
    ],
)
def test_evidence_about_something_else_fails(
    expected: dict[str, str | int | None], code: Code
) -> None:
    """Yesterday's report passed today's revision: the baseline moved, or the questions did."""
    verdict = judge(GOOD, **expected)
    assert (verdict.status, codes(verdict)) == (Status.FAIL, [code])


def test_label_free_evidence_does_not_stand_in_for_a_golden_set() -> None:
    """Evidence without labels is the weaker one; declaring a golden set must not be bypassed."""
    verdict = judge(LABEL_FREE, golden="gold")
    assert codes(verdict) == [Code.FOREIGN_GOLDEN_SET]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_not_finite_scores_fail_first(bad: float, side: str) -> None:
    """`not score < floor` passes on NaN; a NaN in the baseline makes everything not worse."""
    damaged = [bad] + [1.0] * 29
    whole = [1.0] * 30
    asked = rows(damaged, whole) if side == "candidate" else rows(whole, damaged)
    assert codes(judge(golden(asked))) == [Code.NOT_FINITE]
    assert judge(golden(asked)).status is Status.FAIL


def test_a_recorded_not_finite_score_fails_too() -> None:
    """JSON cannot hold NaN, so it comes as None with its failure: it must not slip by as 0."""
    asked = rows([1.0] * 99, [1.0] * 99)
    first = QuestionRow("q000", {}, outcome(None, Failure.NOT_FINITE), outcome(1.0))
    assert codes(judge(golden((first, *asked[1:])))) == [Code.NOT_FINITE]


def test_a_floor_is_met_by_equality_and_missed_by_less() -> None:
    """score >= floor, exactly."""
    assert judge(golden(rows([0.8] * 30, [0.8] * 30))).status is Status.PASS
    below = judge(golden(rows([0.79] * 30, [0.79] * 30)))
    assert (below.status, codes(below)) == (Status.FAIL, [Code.FLOOR])
    assert below.reasons[0].metric == "context_recall"


def test_no_row_at_all_fails_every_floor() -> None:
    """The mean of nothing is undefined, and undefined is not above a floor."""
    verdict = judge(Evidence("new", "live", "gold", 10, 0, (), RowCounts(5, 5)))
    assert verdict.status is Status.FAIL
    assert codes(verdict) == [
        Code.TOO_FEW_QUESTIONS,
        Code.COVERAGE,
        Code.FLOOR,
        Code.BASELINE_COVERAGE,
    ]


def test_too_few_questions_are_undecided_and_say_how_many_are_missing() -> None:
    """Three questions answered well prove little."""
    verdict = judge(golden(rows([1.0] * 12, [1.0] * 12)))
    assert (verdict.status, verdict.more_samples) == (Status.UNDECIDED, 8)
    assert codes(verdict) == [Code.TOO_FEW_QUESTIONS]


def test_questions_that_were_not_asked_lower_coverage() -> None:
    """A worker that stopped half-way must not be judged on the half it did."""
    partial = replace(GOOD, questions=31)
    assert Code.COVERAGE in codes(judge(partial))
    assert judge(partial).status is Status.FAIL


def test_stale_references_fail_with_a_hint() -> None:
    """A golden set whose quotes no longer exist measures the past."""
    stale = QuestionRow("q000", {}, outcome(None, Failure.UNRESOLVED), outcome(1.0))
    verdict = judge(golden((stale, *GOOD.rows[1:])))
    reason = next(r for r in verdict.reasons if r.code is Code.COVERAGE)
    assert "quotes" in reason.message


def test_rows_that_do_not_reconcile_fail() -> None:
    """The index lost rows that the manifest names: whatever it answers, it is not the revision."""
    verdict = judge(replace(GOOD, counts=RowCounts(5, 4)))
    assert (verdict.status, codes(verdict)) == (Status.FAIL, [Code.COUNTS])


def test_the_first_release_needs_no_baseline() -> None:
    """There is nothing to be worse than."""
    assert judge(golden(rows([1.0] * 30), baseline=None)).status is Status.PASS


def test_a_clear_regression_fails() -> None:
    """Half of the questions lost."""
    candidate = [0.0, 1.0] * 20
    verdict = judge(golden(rows(candidate, [1.0] * 40)), replace(POLICY, floors={}))
    assert (verdict.status, codes(verdict)) == (Status.FAIL, [Code.REGRESSION])


def test_an_improvement_passes() -> None:
    """Better is not worse."""
    verdict = judge(golden(rows([1.0] * 40, [0.0, 1.0] * 20)))
    assert verdict.status is Status.PASS


def test_an_uncertain_difference_is_undecided_and_says_how_many_samples_would_do() -> None:
    """3 lost and 2 won of 40: too little to tell."""
    candidate = [0.0] * 3 + [1.0] * 37
    baseline = [1.0] * 38 + [0.0] * 2
    verdict = judge(golden(rows(candidate, baseline)))
    assert (verdict.status, codes(verdict)) == (Status.UNDECIDED, [Code.UNCERTAIN])
    assert verdict.more_samples is not None
    assert verdict.more_samples > 100


def test_a_difference_at_the_margin_is_undecided_without_a_number() -> None:
    """No number of questions tells a mean from itself."""
    policy = replace(POLICY, minimum_effect=0.0, floors={})
    candidate, baseline = [1.0, 0.0] * 20, [0.0, 1.0] * 20
    verdict = judge(golden(rows(candidate, baseline)), policy)
    assert (verdict.status, verdict.more_samples) == (Status.UNDECIDED, None)


def test_a_baseline_that_was_not_asked_is_undecided() -> None:
    """A live search that failed is not a live revision that scores 0."""
    asked = list(GOOD.rows)
    asked[0] = replace(asked[0], baseline=None)
    asked[1] = replace(asked[1], baseline=outcome(None, Failure.ERROR))
    verdict = judge(golden(tuple(asked)))
    assert (verdict.status, codes(verdict)) == (Status.UNDECIDED, [Code.BASELINE_COVERAGE])


def test_a_document_that_live_lacks_scores_zero_there() -> None:
    """New documents come with new questions; the live revision rightly fails them."""
    asked = [replace(r, baseline=outcome(None, Failure.UNRESOLVED)) for r in GOOD.rows]
    assert judge(golden(tuple(asked))).status is Status.PASS


def test_one_slice_that_breaks_fails_though_the_mean_holds() -> None:
    """Korean broke while English improved: the average says that nothing happened."""
    slices = [{"language": "ko"}] * 12 + [{"language": "en"}] * 100
    candidate, baseline = [0.0] * 12 + [1.0] * 100, [1.0] * 12 + [0.5] * 100
    verdict = judge(golden(rows(candidate, baseline, slices=slices)))
    assert (verdict.status, codes(verdict)) == (Status.FAIL, [Code.SLICE_REGRESSION])
    assert verdict.reasons[0].slice == "language=ko"


def test_a_slice_too_small_to_judge_is_not_compared_with_live() -> None:
    """Two questions of one document type say nothing; a bootstrap of them would say a lot."""
    slices = [{"document_type": "xlsx"}] * 2 + [{"document_type": "pdf"}] * 100
    candidate, baseline = [0.0] * 2 + [1.0] * 100, [1.0] * 2 + [0.5] * 100
    assert judge(golden(rows(candidate, baseline, slices=slices))).status is Status.PASS


def test_slice_floors_allow_for_few_questions_and_note_what_they_skip() -> None:
    """0.75 of 12 is within chance of 0.85; 0 of 12 is not; 3 questions are not gated."""
    policy = replace(POLICY, floors={}, slice_floors={"hit_at_k": 0.85})
    slices = [{"type": "pdf"}] * 12 + [{"type": "html"}] * 12 + [{"type": "csv"}] * 3
    near = [0.0] * 3 + [1.0] * 9 + [1.0] * 12 + [0.0] * 3
    verdict = judge(golden(rows(near, slices=slices), baseline=None), policy)
    assert (verdict.status, codes(verdict)) == (Status.PASS, [Code.SMALL_SLICE])
    far = [0.0] * 12 + [1.0] * 12 + [0.0] * 3
    verdict = judge(golden(rows(far, slices=slices), baseline=None), policy)
    assert verdict.status is Status.FAIL
    assert [r.slice for r in verdict.reasons if r.code is Code.SLICE_FLOOR] == ["type=pdf"]


LABEL_FREE = Evidence(
    "new", None, None, 10, 0, (), RowCounts(9, 9), sample=SentenceSample(20, 15, 19)
)


def test_evidence_without_labels_passes_unproven() -> None:
    """A newcomer's first folder is released, and its page says what is not known."""
    verdict = judge(LABEL_FREE)
    assert (verdict.status, verdict.proven, codes(verdict)) == (
        Status.PASS,
        False,
        [Code.UNPROVEN],
    )


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"counts": RowCounts(9, 8)}, Status.FAIL, Code.COUNTS),
        ({"counts": RowCounts(0, 0)}, Status.FAIL, Code.COUNTS),
        ({"sample": SentenceSample(20, 5, 10)}, Status.FAIL, Code.OWN_DOCUMENT),
        ({"sample": SentenceSample(0, 0, 0)}, Status.UNDECIDED, Code.MISSING),
        ({"sample": None}, Status.UNDECIDED, Code.MISSING),
    ],
)
def test_evidence_without_labels_still_has_conditions(change, status: Status, code: Code) -> None:
    """Unproven is not unchecked."""
    verdict = judge(replace(LABEL_FREE, **change))
    assert verdict.status is status
    assert code in codes(verdict)


@pytest.mark.parametrize(
    "change",
    [
        {"floors": {"recall": 0.5}},
        {"floors": {"ndcg": 1.5}},
        {"floors": {"ndcg": math.nan}},
        {"slice_floors": {"x": 0.5}},
        {"compared": ()},
        {"compared": ("bleu",)},
        {"minimum_effect": -0.1},
        {"minimum_effect": math.nan},
        {"coverage_floor": 98.0},
        {"own_document_floor": math.inf},
        {"confidence": 1.0},
        {"confidence": 0.05},
        {"minimum_questions": 0},
        {"minimum_slice_questions": 0},
        {"resamples": 10},
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(change: dict[str, object]) -> None:
    """A margin of 2 (percent, meant) passes everything."""
    with pytest.raises(ConfigurationError) as caught:
        check_policy(replace(POLICY, **change))
    assert next(iter(change)) in str(caught.value)


SCORE = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([math.nan, math.inf]))


@settings(deadline=None)
@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=25), st.floats(0, 1))
def test_a_pass_always_means_what_it_says(pairs, floor: float) -> None:
    """Whatever the evidence: pass implies finite, above the floor, and enough of it."""
    evidence = golden(rows([c for c, _ in pairs], [b for _, b in pairs]))
    policy = replace(POLICY, floors={"mrr": floor}, minimum_questions=5)
    verdict = judge(evidence, policy)
    if verdict.status is Status.PASS:
        mean = evidence.metrics["mrr"].mean
        assert mean is not None
        assert mean >= floor
        assert len(pairs) >= 5
        assert all(math.isfinite(s) for pair in pairs for s in pair if s is not None)
    else:
        assert any(r.status is verdict.status for r in verdict.reasons)
        assert not verdict.proven


def simulated(shift: float, *, runs: int, seed: int) -> dict[Status, float]:
    """Verdicts on 80 questions in two languages; the new scores are moved by `shift`."""
    generator = np.random.default_rng(seed)
    slices = [{"language": "ko" if i % 2 else "en"} for i in range(80)]
    counted = dict.fromkeys(Status, 0)
    for _ in range(runs):
        truth = generator.beta(6.0, 2.0, size=80)
        live, new = (truth + generator.normal(0.0, 0.08, size=80) for _ in range(2))
        asked = rows((new + shift).tolist(), live.tolist(), slices=slices)
        counted[judge(golden(asked), replace(POLICY, floors={})).status] += 1
    return {status: n / runs for status, n in counted.items()}


def test_a_revision_against_itself_fails_no_more_often_than_stated() -> None:
    """A/A with a judge's noise: gates elsewhere flip in 27 % of identical inputs."""
    shares = simulated(0.0, runs=300, seed=1)
    assert shares[Status.FAIL] <= 0.05
    assert shares[Status.UNDECIDED] < 0.75


def test_at_the_margin_neither_error_is_more_frequent_than_stated() -> None:
    """Worse by exactly the margin is the hardest case: 5 % in all for passing, 5 % for failing."""
    shares = simulated(-POLICY.minimum_effect, runs=600, seed=2)
    assert shares[Status.PASS] <= 0.05
    assert shares[Status.FAIL] <= 0.05 + 0.02  # and the error of 600 runs


def test_a_revision_that_is_clearly_worse_does_not_pass() -> None:
    """Worse by five margins."""
    shares = simulated(-5 * POLICY.minimum_effect, runs=100, seed=3)
    assert shares[Status.PASS] == 0.0
    assert shares[Status.FAIL] > 0.95
