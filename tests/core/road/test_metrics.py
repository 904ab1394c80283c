"""Declared metrics: direction, range, and what an undefined value means."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.metrics import (
    Direction,
    Metric,
    Undefined,
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


@given(st.floats(), st.floats(0, 1))
def test_a_score_that_is_not_a_number_reaches_no_bound(score: float, bound: float) -> None:
    """`not score < floor` passes on NaN."""
    for metric in (SHARE, SECONDS):
        if math.isnan(score):
            assert not metric.reaches(score, bound)
    assert SHARE.reaches(bound, bound)
    assert SECONDS.reaches(bound, bound)


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
