"""The gate: what never passes, what always passes, and how often chance decides."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.road.evidence import Evidence, Failure, SampleRow
from platform_pipelines.core.road.gate import check_policy
from platform_pipelines.core.road.metrics import Direction, Metric, Undefined
from platform_pipelines.core.road.verdicts import Code, GatePolicy, Reason, Status, Verdict
from platform_pipelines.errors import ConfigurationError
from tests.core.road.judging import METRICS, POLICY, golden, judge, outcome, rows


def codes(verdict: Verdict) -> list[str]:
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
        ({"golden_digest": "edited"}, Code.FOREIGN_GOLDEN_SET),
        ({"golden_digest": None}, Code.FOREIGN_GOLDEN_SET),
        ({"component": "other"}, Code.FOREIGN_COMPONENT),
        ({"conditions": {"k": 1}}, Code.FOREIGN_CONDITIONS),
        ({"conditions": {}}, Code.FOREIGN_CONDITIONS),
        ({"conditions": {"k": 10, "judge": "m"}}, Code.FOREIGN_CONDITIONS),
        ({"conditions": {"k": math.nan}}, Code.FOREIGN_CONDITIONS),
    ],
)
def test_evidence_about_something_else_fails(expected: dict[str, object], code: Code) -> None:
    """Yesterday's report passed today's revision: the baseline moved, or the questions did."""
    verdict = judge(GOOD, **expected)
    assert (verdict.status, codes(verdict)) == (Status.FAIL, [code])


def test_label_free_evidence_does_not_stand_in_for_a_golden_set() -> None:
    """Evidence without labels is the weaker one; declaring a golden set must not be bypassed."""
    verdict = judge(LABEL_FREE, golden_digest="gold")
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
    first = SampleRow("q000", {}, outcome(None, Failure.NOT_FINITE), outcome(1.0))
    assert codes(judge(golden((first, *asked[1:])))) == [Code.NOT_FINITE]


def test_a_floor_is_met_by_equality_and_missed_by_less() -> None:
    """score >= floor, exactly."""
    assert judge(golden(rows([0.8] * 30, [0.8] * 30))).status is Status.PASS
    below = judge(golden(rows([0.79] * 30, [0.79] * 30)))
    assert (below.status, codes(below)) == (Status.FAIL, [Code.FLOOR])
    assert below.reasons[0].metric == "recall"


def test_no_row_at_all_fails_every_floor() -> None:
    """The mean of nothing is undefined, and undefined is not above a floor."""
    verdict = judge(golden(()))
    assert verdict.status is Status.FAIL
    assert codes(verdict) == [
        Code.TOO_FEW_SAMPLES,
        Code.COVERAGE,
        Code.FLOOR,
        Code.BASELINE_COVERAGE,
    ]


def test_too_few_questions_are_undecided_and_say_how_many_are_missing() -> None:
    """Three questions answered well prove little."""
    verdict = judge(golden(rows([1.0] * 12, [1.0] * 12)))
    assert (verdict.status, verdict.more_samples) == (Status.UNDECIDED, 8)
    assert codes(verdict) == [Code.TOO_FEW_SAMPLES]


def test_questions_that_were_not_asked_lower_coverage() -> None:
    """A worker that stopped half-way must not be judged on the half it did."""
    partial = replace(GOOD, samples=31)
    assert Code.COVERAGE in codes(judge(partial))
    assert judge(partial).status is Status.FAIL


def test_samples_whose_answer_the_revision_lacks_are_not_judged() -> None:
    """A golden set whose answers no longer exist measures the past."""
    stale = SampleRow("q000", {}, outcome(None, Failure.UNRESOLVED), outcome(1.0))
    verdict = judge(golden((stale, *GOOD.rows[1:])))
    reason = next(r for r in verdict.reasons if r.code is Code.COVERAGE)
    assert reason.message == "29 of 30 samples judged; the floor is 98%"


def failing(evidence: Evidence) -> list[Reason]:
    """A component's own rule, with a code of its own."""
    return [Reason(Status.FAIL, "counts", f"{evidence.facts['rows']} rows are lost")]


def content(evidence: Evidence) -> list[Reason]:
    """A rule that found nothing."""
    return []


def test_a_rule_of_the_component_fails_what_the_metrics_pass() -> None:
    """The index lost rows that the manifest names: whatever it answers, it is not the revision."""
    verdict = judge(replace(GOOD, facts={"rows": 3}), rules=[content, failing])
    assert (verdict.status, codes(verdict)) == (Status.FAIL, ["counts"])
    assert verdict.reasons[0].message == "3 rows are lost"


def test_rules_are_not_asked_about_evidence_of_something_else() -> None:
    """Its facts may be another component's: reading them would end in a KeyError."""
    verdict = judge(GOOD, component="other", rules=[failing])
    assert codes(verdict) == [Code.FOREIGN_COMPONENT]


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


def test_slices_share_half_of_the_error_rate_with_all_that_are_tested() -> None:
    """One of twenty slices is worse by chance: one of two is told, one of twenty is not."""
    found = []
    for slices in (2, 20):
        gains = [-0.1] * 6 + [0.04] * 4 + [0.3] * (10 * (slices - 1))
        groups = [{"type": f"t{i // 10:02}"} for i in range(len(gains))]
        asked = rows([0.5 + g for g in gains], [0.5] * len(gains), slices=groups)
        found.append(judge(golden(asked), replace(POLICY, floors={}, minimum_effect=0.0)))
    assert [v.status for v in found] == [Status.FAIL, Status.PASS]
    assert [r.slice for r in found[0].reasons] == ["type=t00"]


LABEL_FREE = Evidence("toy", "new", None, None, {"k": 10}, METRICS, 0, ())


def test_evidence_without_labels_passes_unproven_when_the_rules_are_content() -> None:
    """A newcomer's first folder is released, and its page says what is not known."""
    verdict = judge(LABEL_FREE, rules=[content])
    assert (verdict.status, verdict.proven, codes(verdict)) == (
        Status.PASS,
        False,
        [Code.UNPROVEN],
    )


def test_evidence_without_labels_still_has_conditions() -> None:
    """Unproven is not unchecked; and nothing that was looked at is no pass."""
    failed = judge(replace(LABEL_FREE, facts={"rows": 1}), rules=[failing])
    assert (failed.status, codes(failed)) == (Status.FAIL, ["counts", Code.UNPROVEN])
    unseen = judge(LABEL_FREE)
    assert (unseen.status, codes(unseen)) == (Status.UNDECIDED, [Code.MISSING])


@pytest.mark.parametrize(
    "change",
    [
        {"floors": {"bleu": 0.5}},
        {"floors": {"ndcg": 1.5}},
        {"floors": {"ndcg": math.nan}},
        {"compared": ("bleu",)},
        {"minimum_effects": {"bleu": 0.1}},
        {"minimum_effects": {"ndcg": 2.0}},
        {"minimum_effects": {"ndcg": math.nan}},
        {"minimum_effect": -0.1},
        {"minimum_effect": 2.0},
        {"minimum_effect": math.nan},
        {"coverage_floor": 98.0},
        {"coverage_floor": math.nan},
        {"confidence": 1.0},
        {"confidence": 0.05},
        {"confidence": math.nan},
        {"minimum_samples": 0},
        {"minimum_slice_samples": 0},
        {"resamples": 10},
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(change: dict[str, object]) -> None:
    """A margin of 2 (percent, meant) passes everything."""
    with pytest.raises(ConfigurationError) as caught:
        check_policy(replace(POLICY, **change), METRICS)
    assert (caught.value.where or "").startswith("gate.")
    assert next(iter(change)) in str(caught.value)


def test_a_margin_may_be_as_wide_as_its_metrics_range_and_no_wider() -> None:
    """Five seconds of sixty can be meant; of a metric without an end, everything can."""
    slow = Metric("slow", "s", Direction.LOWER, high=60.0)
    cost = Metric("cost", "USD", Direction.LOWER, high=None, undefined=Undefined.LEFT_OUT)
    sound = GatePolicy(compared=("slow", "cost"), minimum_effects={"slow": 60.0, "cost": 1e6})
    check_policy(sound, (slow, cost))
    with pytest.raises(ConfigurationError, match="0 to 60 s"):
        check_policy(replace(sound, minimum_effects={"slow": 61.0}), (slow, cost))


def test_a_metric_that_nobody_measured_is_no_metric_that_passed() -> None:
    """The policy asks for faithfulness; the judge was not there, and nothing says so."""
    for change in (
        {"floors": {"faithfulness": 0.85}},
        {"compared": ("faithfulness",)},
        {"minimum_effects": {"faithfulness": 0.1}},
    ):
        verdict = judge(GOOD, replace(POLICY, **change))
        assert (verdict.status, codes(verdict)) == (Status.FAIL, [Code.UNKNOWN_METRIC])
        assert verdict.reasons[0].metric == "faithfulness"


def test_nothing_compared_needs_no_baseline_scores() -> None:
    """A component may be gated by floors alone; what is declared so is not silently compared."""
    worse = golden(rows([0.8] * 30, [1.0] * 30))
    assert judge(worse).status is Status.FAIL
    assert judge(worse, replace(POLICY, compared=())).status is Status.PASS


def test_a_floor_is_not_reached_by_the_few_samples_that_have_a_score() -> None:
    """Of 40 samples 37 are left out of the metric: three that are good prove little."""
    cost = Metric("recall", undefined=Undefined.LEFT_OUT)
    for defined, status, found in (
        (0, Status.FAIL, [Code.FLOOR]),
        (3, Status.UNDECIDED, [Code.TOO_FEW_SAMPLES]),
        (19, Status.UNDECIDED, [Code.TOO_FEW_SAMPLES]),
        (20, Status.PASS, []),
    ):
        asked = rows([1.0] * defined + [None] * (40 - defined))
        evidence = golden(asked, baseline=None, metrics=(cost, METRICS[1]))
        verdict = judge(evidence)
        assert (verdict.status, codes(verdict)) == (status, found)
        if status is Status.UNDECIDED:
            assert verdict.more_samples == 20 - defined
            assert verdict.reasons[0].metric == "recall"


SCORE = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([math.nan, math.inf]))


@settings(deadline=None)
@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=25), st.floats(0, 1))
def test_a_pass_always_means_what_it_says(pairs, floor: float) -> None:
    """Whatever the evidence: pass implies finite, above the floor, and enough of it."""
    evidence = golden(rows([c for c, _ in pairs], [b for _, b in pairs]))
    policy = replace(POLICY, floors={"recall": floor}, minimum_samples=5)
    verdict = judge(evidence, policy)
    if verdict.status is Status.PASS:
        mean = evidence.means["recall"].mean
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
