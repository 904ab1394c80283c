"""Sticky cohorts, broken assignment, and verdicts that may be looked at daily."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.experiment.cohorts import sample_ratio
from platform_pipelines.core.experiment.sequential import Standing, Tally, look, tally
from platform_pipelines.core.road.assignments import arm_of
from platform_pipelines.core.road.metrics import Direction
from platform_pipelines.errors import ConfigurationError

SHARES = {"a": 80, "b": 20}
DAYS, A_DAY, MARGIN = 14, 400, 0.05
SIMULATIONS = 2_000


def test_a_caller_stays_in_one_arm_and_arms_get_their_shares() -> None:
    """A caller who sees both arms is in neither."""
    arms = [arm_of("models", f"user-{n}", SHARES) for n in range(20_000)]
    assert arms == [
        arm_of("models", f"user-{n}", dict(reversed(SHARES.items()))) for n in range(20_000)
    ]
    assert 0.19 < arms.count("b") / len(arms) < 0.21


def test_two_experiments_do_not_share_their_cohorts() -> None:
    """Else the second compares what the first made different."""
    keys = [f"user-{n}" for n in range(4_000)]
    both = sum(arm_of("x", k, SHARES) == "b" and arm_of("y", k, SHARES) == "b" for k in keys)
    assert 0.02 < both / len(keys) < 0.06  # 0.2 x 0.2


@given(st.text(), st.integers(1, 100), st.integers(0, 100))
def test_every_key_has_an_arm_with_a_share(key: str, one: int, other: int) -> None:
    """Also the empty key, and one that is not ASCII."""
    assert {"a": one, "b": other}[arm_of("e", key, {"a": one, "b": other})] > 0


def test_shares_of_nothing_are_refused() -> None:
    """Nobody would see anything."""
    with pytest.raises(ConfigurationError, match="shares"):
        arm_of("e", "k", {"a": 0, "b": 0})


def test_broken_assignment_is_found_and_a_right_one_is_left_alone_at_every_look() -> None:
    """78 : 22 instead of 80 : 20 over two weeks; 2,000 right experiments looked at daily."""
    random = np.random.default_rng(7)
    false_alarms = 0
    for _ in range(SIMULATIONS):
        daily = random.binomial(2_000, 0.2, DAYS).cumsum()
        looks = [
            sample_ratio({"a": 2_000 * (d + 1) - int(b), "b": int(b)}, SHARES).is_broken
            for d, b in enumerate(daily)
        ]
        false_alarms += any(looks)
    assert false_alarms / SIMULATIONS <= 0.003  # stated: 0.001
    assert sample_ratio({"a": 21_840, "b": 6_160}, SHARES).is_broken


def simulate(effect: float, seed: int) -> tuple[float, float]:
    """Share of experiments ever called different in their direction, and against it."""
    random = np.random.default_rng(seed)
    right = wrong = 0
    for _ in range(SIMULATIONS):
        a = random.binomial(A_DAY, 0.5 + effect, DAYS).cumsum()
        b = random.binomial(A_DAY, 0.5, DAYS).cumsum()
        for day in range(DAYS):
            n = A_DAY * (day + 1)
            seen = look(
                Tally(n, float(a[day]), float(a[day])), Tally(n, float(b[day]), float(b[day])),
                margin=MARGIN,
            )  # fmt: skip
            if seen.low > 0 or seen.high < 0:
                right, wrong = right + (seen.low > 0), wrong + (seen.high < 0)
                break
    return right / SIMULATIONS, wrong / SIMULATIONS


def test_equal_arms_are_called_different_no_more_often_than_stated_with_daily_looks() -> None:
    """A fixed 95 % interval looked at 14 times errs about four times as often."""
    right, wrong = simulate(0.0, seed=11)
    assert right + wrong <= 0.05


def test_a_real_difference_is_found_before_the_end() -> None:
    """An interval that never says anything would pass the test above."""
    right, wrong = simulate(0.06, seed=13)
    assert right >= 0.9
    assert wrong == 0


def test_the_verdict_is_about_what_is_better_and_about_the_margin() -> None:
    """Less latency is better; harm stops; equal is a result."""
    fast, slow = tally([1.0, 1.1] * 500), tally([2.0, 2.1] * 500)
    assert look(fast, slow, margin=0.5, direction=Direction.LOWER).standing is Standing.BETTER
    assert look(slow, fast, margin=0.5, direction=Direction.LOWER).standing is Standing.WORSE
    assert look(fast, fast, margin=0.5).standing is Standing.EQUAL
    assert look(tally([1.0]), slow, margin=0.5).standing is Standing.OPEN


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60), st.integers(0, 60))
def test_days_add_up_to_the_whole(values: list[float], cut: int) -> None:
    """A killed analysis goes on from its days, and sees what one that lived sees."""
    whole = tally(values)
    days = tally(values[:cut]) + tally(values[cut:])
    assert days.count == whole.count
    assert math.isclose(days.mean, whole.mean, abs_tol=1e-9)
    assert math.isclose(days.variance, whole.variance, rel_tol=1e-6, abs_tol=1e-6)


def test_an_observation_that_is_no_number_is_refused() -> None:
    """A NaN makes every later look silent."""
    with pytest.raises(ValueError, match="not finite"):
        tally([1.0, math.nan])
