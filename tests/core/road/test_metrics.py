"""Declared metrics: direction, range, and what an undefined value means."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.metrics import (
    Direction,
    Metric,
    Undefined,
    by_name,
    check_metrics,
    mean_score,
)
from platform_pipelines.errors import ConfigurationError

SHARE = Metric("share")
SECONDS = Metric("seconds", unit="s", direction=Direction.LOWER, high=60.0)
COST = Metric(
    "cost", unit="USD", direction=Direction.LOWER, high=None, undefined=Undefined.LEFT_OUT
)


def test_failures_score_the_worst_in_the_mean_and_are_counted() -> None:
    """Averaging over what worked turns a broken evaluation into a better one."""
    mean = mean_score(SHARE, [1.0, None, math.nan, math.inf])
    assert (mean.mean, mean.samples, mean.failures, mean.left_out) == (0.25, 4, 3, 0)
    slow = mean_score(SECONDS, [1.0, None])
    assert (slow.mean, slow.failures) == (30.5, 1)


def test_what_is_left_out_by_declaration_is_counted_apart() -> None:
    """An unanswerable question has no cost of an answer; it is neither free nor dear."""
    mean = mean_score(COST, [0.5, None, math.nan])
    assert (mean.mean, mean.samples, mean.failures, mean.left_out) == (0.5, 1, 0, 2)


@pytest.mark.parametrize("metric", [SHARE, SECONDS, COST])
def test_the_mean_of_nothing_is_undefined(metric: Metric) -> None:
    """No sample is no evidence."""
    assert mean_score(metric, []).mean is None


@given(st.floats(0, 60), st.floats(0, 60))
def test_a_gain_is_positive_exactly_when_the_candidate_is_better(new: float, old: float) -> None:
    """Seconds that fall are a gain; a share that falls is none."""
    assert SECONDS.gain(new, old) == -SHARE.gain(new, old)
    assert (SECONDS.gain(new, old) > 0) == (new < old)


@given(st.floats(0, 1))
def test_a_score_that_is_not_a_number_reaches_no_bound(bound: float) -> None:
    """`not score < floor` passes on NaN."""
    for metric in (SHARE, SECONDS):
        assert not metric.reaches(math.nan, bound)
        assert not metric.reaches(bound, math.nan)
        assert metric.reaches(bound, bound)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ((SHARE, SHARE), "declared twice"),
        ((Metric("m", low=1.0, high=1.0),), "range is empty"),
        ((Metric("m", direction=Direction.LOWER, high=None),), "no worst score"),
        ((Metric("m", low=None),), "no worst score"),
    ],
)
def test_a_declaration_that_could_not_be_meant_is_refused(
    metrics: tuple[Metric, ...], words: str
) -> None:
    """A failure without a worst score would be averaged away."""
    with pytest.raises(ConfigurationError, match=words):
        check_metrics(metrics)


def test_sound_declarations_are_taken() -> None:
    """All three kinds."""
    check_metrics((SHARE, SECONDS, COST))
    assert [m.fits(61.0) for m in (SHARE, SECONDS, COST)] == [False, False, True]
    assert not SHARE.fits(-0.1)
    assert by_name((SHARE, COST)) == {"share": SHARE, "cost": COST}


ANY = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))
METRICS = st.builds(
    Metric,
    st.just("m"),
    direction=st.sampled_from(Direction),
    low=st.none() | st.just(-1.0),
    high=st.none() | st.just(2.0),
    undefined=st.sampled_from(Undefined),
)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", [SHARE, SECONDS, Metric("m", low=None, high=None)])
def test_what_is_not_finite_is_no_score(metric: Metric, bad: float) -> None:
    """NaN fits no range; an infinity counts as what is undefined does, never as itself."""
    assert not metric.fits(math.nan) or (metric.low, metric.high) == (None, None)
    assert metric.value(bad) == metric.value(None) == metric.worst


@given(metric=METRICS, score=ANY)
def test_undefined_is_the_worst_or_left_out_and_never_the_best(
    metric: Metric, score: float | None
) -> None:
    """What a score counts as is finite, and for a failure no declared score is worse."""
    value = metric.value(score)
    if score is not None and math.isfinite(score):
        assert value == score
    elif metric.undefined is Undefined.LEFT_OUT:
        assert value is None
    else:
        assert value == metric.worst
        if value is not None and metric.fits(0.0):
            assert metric.gain(0.0, value) >= 0.0
            assert metric.reaches(0.0, value)


@given(metric=METRICS, scores=st.lists(ANY.filter(lambda s: s is None or not abs(s) >= 1e9)))
def test_every_sample_is_counted_once(metric: Metric, scores: list[float | None]) -> None:
    """In the mean, as a failure in it, or as left out of it: none is lost."""
    mean = mean_score(metric, scores)
    assert mean.samples + mean.left_out == len(scores)
    broken = sum(s is None or not math.isfinite(s) for s in scores)
    assert mean.failures + mean.left_out == broken
    assert (mean.mean is None) == (mean.samples == 0)
    if metric.undefined is Undefined.LEFT_OUT:
        assert mean.failures == 0


@given(metric=METRICS, scores=st.lists(st.floats(-1, 2), min_size=1), place=st.data())
def test_a_failure_never_makes_a_mean_better(
    metric: Metric, scores: list[float], place: st.DataObject
) -> None:
    """The one that breaks its judge must not gain by it."""
    if metric.undefined is Undefined.LEFT_OUT or metric.worst is None:
        return
    broken: list[float | None] = list(scores)
    broken[place.draw(st.integers(0, len(scores) - 1))] = None
    before, after = mean_score(metric, scores).mean, mean_score(metric, broken).mean
    assert before is not None
    assert after is not None
    assert metric.gain(after, before) <= 1e-9


@given(metric=METRICS, new=st.floats(-1, 2), old=st.floats(-1, 2))
def test_reaching_and_gaining_agree(metric: Metric, new: float, old: float) -> None:
    """Who is at least as good as live reaches live's score as a floor."""
    assert metric.reaches(new, old) == (metric.gain(new, old) >= 0.0)
    assert metric.gain(new, old) == -metric.gain(old, new)


@given(metric=METRICS)
def test_a_metric_with_failures_has_a_worst_score_or_is_refused(metric: Metric) -> None:
    """Else a failure would be left out without anybody having declared it."""
    if metric.undefined is Undefined.FAILURE and metric.worst is None:
        with pytest.raises(ConfigurationError, match="no worst score"):
            check_metrics((metric,))
    else:
        check_metrics((metric,))
