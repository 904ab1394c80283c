"""Statistics: intervals that cover as often as they say, and nothing said of no number."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.road.statistics import (
    bootstrap_interval,
    holm,
    paired_differences,
    probability_not_below,
    samples_needed,
    samples_to_detect,
    spent_confidence,
    wilson_interval,
)
from platform_pipelines.errors import EvidenceError

SHARES = st.floats(0, 1, allow_nan=False)
SCORES = st.lists(SHARES, min_size=2, max_size=30)


def test_differences_are_candidate_minus_baseline() -> None:
    """The other way round, every regression is an improvement."""
    assert paired_differences([1.0, 0.0], [0.0, 0.5]) == [1.0, -0.5]


def test_unpaired_samples_are_refused() -> None:
    """zip() would compare question 7 with question 8 from the first missing one on."""
    with pytest.raises(EvidenceError, match="not paired"):
        paired_differences([1.0], [1.0, 0.0])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    """NaN compares false with everything: a gate that asks `low < margin` would pass."""
    for call in (
        lambda: paired_differences([bad], [0.0]),
        lambda: bootstrap_interval([0.0, bad]),
        lambda: probability_not_below([0.0, bad], 0.0),
        lambda: samples_needed([0.0, bad], 0.0),
        lambda: holm([0.1, bad]),
    ):
        with pytest.raises(EvidenceError, match="not finite"):
            call()


def test_nothing_is_said_of_no_values() -> None:
    """The mean of nothing is no interval."""
    with pytest.raises(EvidenceError, match="too few"):
        bootstrap_interval([])
    with pytest.raises(EvidenceError, match="too few"):
        samples_needed([0.5], 0.0)


def test_equal_values_are_certain() -> None:
    """Identical runs differ by 0 with an interval of no width, whatever the mean rounds to."""
    interval = bootstrap_interval([0.1] * 7)
    assert (interval.low, interval.estimate, interval.high) == (0.1, 0.1, 0.1)


def test_a_seed_gives_one_interval() -> None:
    """A verdict that changes when it is read again is none."""
    values = [math.sin(i) for i in range(40)]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


@settings(deadline=None)
@given(SCORES)
def test_the_interval_holds_the_estimate_and_stays_among_the_values(values: list[float]) -> None:
    """A bound outside the data's range is a defect of the method."""
    interval = bootstrap_interval(values, resamples=1000)
    slack = 1e-9
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack
    assert interval.samples == len(values)


@settings(deadline=None)
@given(SCORES)
def test_more_confidence_is_a_wider_interval(values: list[float]) -> None:
    """Holm and Bonferroni rest on it."""
    narrow, wide = (bootstrap_interval(values, confidence=c, resamples=1000) for c in (0.8, 0.99))
    assert wide.low <= narrow.low
    assert wide.high >= narrow.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """600 samples of 60 skewed values: 95 % intervals that cover 80 % would be lies."""
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(600):
        values = generator.beta(5.0, 1.0, size=60)
        interval = bootstrap_interval(values.tolist(), resamples=1000)
        covered += interval.low <= 5.0 / 6.0 <= interval.high
    assert 0.92 <= covered / 600 <= 0.98


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("size", "shape"), [(20, (5, 1)), (60, (0.5, 3)), (200, (1, 6))])
def test_the_interval_is_scipys_bca_interval_to_the_last_digits(
    size: int, shape: tuple[float, float], confidence: float
) -> None:
    """Skewed scores: without the bias, or the acceleration, an end is off by more than 1e-4."""
    values = np.random.default_rng(size).beta(*shape, size=size)
    ours = bootstrap_interval(values.tolist(), confidence=confidence, seed=7)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=confidence, n_resamples=4000, method="BCa",
        rng=np.random.default_rng(7),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_interval_of_scores_that_are_only_0_and_1_is_scipys_too() -> None:
    """The mean itself is drawn often: half of those draws count as below it."""
    values = np.array([0.0] * 5 + [1.0] * 25)
    ours = bootstrap_interval(values.tolist(), seed=3)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("hits", "trials"), [(0, 8), (8, 10), (10, 10), (37, 300)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(hits: int, trials: int, confidence: float) -> None:
    """Rates of `I do not know` are shown with it."""
    ours = wilson_interval(hits, trials, confidence=confidence)
    theirs = scipy.stats.binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_many_samples_are_drawn_in_blocks() -> None:
    """20,000 values times 4,000 draws at once would take 640 MB."""
    values = [0.0, 1.0] * 10_000
    interval = bootstrap_interval(values, resamples=1000)
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.5 / math.sqrt(20_000), abs=1e-3)


def test_p_values_are_small_below_the_bound_and_large_above_it() -> None:
    """One-sided: better than the bound is never significant."""
    assert probability_not_below([-1.0, -0.9, -0.8, -1.0] * 5, -0.02) < 0.001
    assert probability_not_below([0.1, 0.2, 0.0, 0.3] * 5, -0.02) > 0.99
    assert probability_not_below([-1.0] * 8, -0.02) < 0.001


def test_samples_needed_follows_the_formula() -> None:
    """n = ((z + z of the power) s / distance)^2."""
    values = [0.0, 1.0] * 50
    spread = math.sqrt(0.25 * 100 / 99)
    z, power = 1.959963984540054, 1.2815515655446004
    assert samples_needed(values, 0.4) == math.ceil(((z + power) * spread / 0.1) ** 2)
    assert samples_needed(values, 0.4, power=0.5) == math.ceil((z * spread / 0.1) ** 2)
    assert samples_to_detect(values, 0.1) == samples_needed(values, 0.4)


def test_all_looks_together_spend_one_error() -> None:
    """Whoever looks every six hours for years errs no more often than whoever looks once."""
    spent = [1.0 - spent_confidence(0.95, look) for look in range(1, 5000)]
    assert spent == sorted(spent, reverse=True)
    assert 0.0499 < math.fsum(spent) < 0.05


def test_no_number_of_samples_tells_a_mean_from_itself() -> None:
    """Advice to write 10 million questions is no advice."""
    assert samples_needed([0.0, 1.0], 0.5) is None
    assert samples_needed([0.0, 1.0], 0.5 + 1e-6) is None


def test_values_without_spread_need_no_more_samples() -> None:
    """They are decided already."""
    assert samples_needed([0.5, 0.5], 0.0) == 2
    assert samples_needed([0.5, 0.5], 0.5) == 2


def test_wilson_agrees_with_published_values() -> None:
    """8 of 10: 0.490 to 0.943 (Newcombe, Statistics in Medicine 17, 1998, method 3, by hand)."""
    interval = wilson_interval(8, 10)
    assert interval.low == pytest.approx(0.4901, abs=1e-3)
    assert interval.high == pytest.approx(0.9433, abs=1e-3)


def test_no_failure_in_few_trials_is_not_certainty() -> None:
    """0 false answers of 8 may well be 30 %."""
    assert wilson_interval(0, 8).low == 0.0
    assert wilson_interval(0, 8).high == pytest.approx(0.324, abs=1e-3)
    assert wilson_interval(8, 8).high == 1.0


@given(st.integers(1, 500), st.data())
def test_wilson_holds_its_rate_within_bounds(trials: int, data: st.DataObject) -> None:
    """The normal approximation leaves 0..1; this one must not."""
    hits = data.draw(st.integers(0, trials))
    interval = wilson_interval(hits, trials)
    assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_a_rate_without_trials_is_refused(hits: int, trials: int) -> None:
    """0 of 0 is not 0 %."""
    with pytest.raises(EvidenceError, match="trials"):
        wilson_interval(hits, trials)


def test_holm_by_hand() -> None:
    """Step-down: 3 x 0.01, 2 x 0.02, 1 x 0.03 raised to what came before."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == []


@given(st.lists(SHARES, min_size=1, max_size=10))
def test_holm_only_raises_and_keeps_the_order(p_values: list[float]) -> None:
    """Adjusted values are never below the raw ones, nor above Bonferroni's."""
    adjusted = holm(p_values)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, raw * len(p_values)) + 1e-12
    by_raw = [adjusted[i] for i in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert by_raw == sorted(by_raw)
