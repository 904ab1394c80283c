"""The gate's statistics, each promise where a slip of it would show."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from platform_pipelines.core.road.evidence import Failure, Outcome, SampleRow
from platform_pipelines.core.road.metrics import Direction, Metric
from platform_pipelines.core.road.statistics import bootstrap_interval
from platform_pipelines.core.road.verdicts import Code, GatePolicy, Status, Verdict
from tests.core.road.judging import METRICS, POLICY, golden, judge, outcome, rows

BARE = replace(POLICY, floors={})
NOISE = tuple(0.03 * ((7 * i) % 11 - 5) for i in range(60))


def moved(gains: Sequence[float], policy: GatePolicy = BARE) -> Verdict:
    """The verdict about gains of nDCG; recall stays as it is."""
    asked = tuple(
        SampleRow(f"q{i:03}", {}, Outcome({"recall": 0.5, "ndcg": 0.5 + g}), outcome(0.5))
        for i, g in enumerate(gains)
    )
    return judge(golden(asked), policy)


def ends(confidence: float) -> tuple[float, float]:
    """The ends of the interval of `NOISE`; they move with it."""
    interval = bootstrap_interval(NOISE, confidence=confidence, resamples=1000)
    return interval.low, interval.high


def test_failing_is_corrected_for_the_number_of_metrics_that_could_fail() -> None:
    """Bonferroni: what fails a revision that one metric judges is undecided where two do."""
    plain, corrected = ends(0.95)[1], ends(0.975)[1]
    assert plain < corrected
    gains = [g - BARE.minimum_effect - (plain + corrected) / 2.0 for g in NOISE]
    alone = moved(gains)
    assert (alone.status, alone.reasons[0].code) == (Status.FAIL, Code.REGRESSION)
    both = moved(gains, replace(BARE, compared=("ndcg", "recall")))
    assert [(r.code, r.metric) for r in both.reasons] == [(Code.UNCERTAIN, "ndcg")]


def test_passing_is_not_corrected_because_it_needs_every_metric() -> None:
    """A second metric that is certain must not make the first one harder to pass."""
    plain, corrected = ends(0.95)[0], ends(0.975)[0]
    assert corrected < plain
    gains = [g - BARE.minimum_effect - (plain + corrected) / 2.0 for g in NOISE]
    assert moved(gains, replace(BARE, compared=("ndcg", "recall"))).status is Status.PASS


@pytest.mark.parametrize(
    ("gain", "policy", "status"),
    [
        (-0.0199, BARE, Status.PASS),
        (-0.0201, BARE, Status.FAIL),
        (-0.0001, replace(BARE, minimum_effect=0.0), Status.FAIL),
        (-0.0999, replace(BARE, minimum_effects={"ndcg": 0.1}), Status.PASS),
        (-0.1001, replace(BARE, minimum_effects={"ndcg": 0.1}), Status.FAIL),
        (-0.0201, replace(BARE, minimum_effects={"recall": 0.1}), Status.FAIL),
    ],
)
def test_the_margin_is_the_minimum_effect_to_the_last_digit(
    gain: float, policy: GatePolicy, status: Status
) -> None:
    """Differences without noise are certain: a margin that is off by 0.05 would show."""
    assert moved([gain] * 30, policy).status is status


@pytest.mark.parametrize(("gain", "status"), [(-0.0199, Status.PASS), (-0.0201, Status.FAIL)])
def test_the_margin_of_a_slice_is_the_same(gain: float, status: Status) -> None:
    """The mean holds, one language is worse by more than the minimum effect."""
    gains = [gain] * 10 + [0.1] * 30
    slices = [{"language": "ko"}] * 10 + [{"language": "en"}] * 30
    asked = rows([0.5 + g for g in gains], [0.5] * 40, slices=slices)
    verdict = judge(golden(asked), BARE)
    assert verdict.status is status
    assert [r.slice for r in verdict.reasons] == ["language=ko"] * (status is Status.FAIL)


@pytest.mark.parametrize(
    ("seconds", "status"), [(1.4999, Status.PASS), (1.5001, Status.FAIL), (0.2, Status.PASS)]
)
def test_the_margin_of_a_metric_of_which_less_is_better_points_the_other_way(
    seconds: float, status: Status
) -> None:
    """A second that becomes one and a half may be allowed; a millisecond more is not."""
    slow = Metric("seconds", "s", Direction.LOWER, high=60.0)
    policy = replace(BARE, compared=("seconds",), minimum_effects={"seconds": 0.5})
    asked = tuple(
        SampleRow(f"q{i}", {}, Outcome({"seconds": seconds}), Outcome({"seconds": 1.0}))
        for i in range(30)
    )
    assert judge(golden(asked, metrics=(slow,)), policy).status is status


def test_one_failed_baseline_is_no_sample_that_the_candidate_won() -> None:
    """Scored 0, a live search that failed once would be a gain of 1 for whatever comes next."""
    asked = [*rows([1.0] * 30, [1.0] * 30)]
    asked[0] = replace(asked[0], baseline=outcome(None, Failure.ERROR))
    verdict = judge(golden(tuple(asked)))
    assert (verdict.status, verdict.reasons[0].code) == (Status.UNDECIDED, Code.BASELINE_COVERAGE)
    assert verdict.reasons[0].message == "29 of 30 samples were judged on live"


def test_failed_baselines_are_no_gains_that_hide_a_loss() -> None:
    """199 of 200 were judged on live and lost 0.021 each; a failure scored 0 hides all of it."""
    asked = [*rows([0.979] * 200, [1.0] * 200)]
    for lost in (None, outcome(None, Failure.ERROR), outcome(None, Failure.NOT_FINITE)):
        asked[0] = SampleRow("q000", {}, outcome(1.0), lost)
        verdict = judge(golden(tuple(asked)))
        code = Code.NOT_FINITE if lost and lost.failure is Failure.NOT_FINITE else Code.REGRESSION
        assert [r.code for r in verdict.reasons] == [code]


def test_failed_baselines_are_no_samples_of_a_slice() -> None:
    """Seven questions that both answered are too few to judge a slice; eight would be enough."""
    slices = [{"type": "xlsx"}] * 8 + [{"type": "pdf"}] * 192
    asked = [*rows([0.0] * 8 + [1.0] * 192, [1.0] * 8 + [0.5] * 192, slices=slices)]
    enough = judge(golden(tuple(asked)), BARE)
    assert [r.code for r in enough.reasons] == [Code.SLICE_REGRESSION]
    asked[0] = replace(asked[0], baseline=outcome(None, Failure.ERROR))
    assert judge(golden(tuple(asked)), BARE).status is Status.PASS


def test_a_metric_that_few_pairs_define_is_undecided() -> None:
    """Left out by declaration on either side: what remains is another set of questions."""
    partial = replace(METRICS[1], undefined="left_out")
    asked = rows([None] * 3 + [1.0] * 37, [1.0] * 40)
    verdict = judge(golden(asked, metrics=(METRICS[0], partial)), BARE)
    assert [(r.code, r.metric) for r in verdict.reasons] == [(Code.BASELINE_COVERAGE, "ndcg")]
    assert "37 of 40" in verdict.reasons[0].message


def test_the_least_samples_that_would_decide_are_at_least_one_more() -> None:
    """`0 more` is no advice, also where the normal approximation says that there were enough."""
    policy = replace(BARE, minimum_samples=2, compared=("ndcg",))
    found = [moved(gains, policy) for gains in ([0.0, -0.04], [0.02, -0.05, 0.01] * 4)]
    assert all(v.status is Status.UNDECIDED for v in found)
    assert all(v.more_samples is None or v.more_samples >= 1 for v in found)


def test_one_sample_is_not_asked_for_its_spread() -> None:
    """A single pair is a certain difference to the bootstrap and has no variance."""
    lost = moved([-0.5], replace(BARE, minimum_samples=1))
    assert lost.reasons[0].code is Code.REGRESSION
