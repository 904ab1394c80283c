"""The rules that end an experiment, simulated: how often equal arms win, and a better one does."""

import numpy as np

from platform_pipelines.core.experiment.observations import DayTally
from platform_pipelines.core.experiment.sequential import Tally
from platform_pipelines.core.experiment.verdict import State, conclude
from tests.experiments import START, declared

SIMULATIONS, A_DAY = 400, 400


def simulated(effect: float, seed: int) -> list[State]:
    """The end of each experiment that is looked at on each of its 14 days."""
    spec = declared("file:///o")
    draw = np.random.default_rng(seed)
    return [conclude(spec, _days(draw, effect)).state for _ in range(SIMULATIONS)]


def _days(draw: np.random.Generator, effect: float) -> list[DayTally]:
    days: list[DayTally] = []
    for day in range(14):
        big = int(draw.binomial(A_DAY, 0.2))
        tallies = {
            arm: {
                "satisfaction": _counted(draw, keys, 0.5 + gain),
                "seconds": _counted(draw, keys, 0.01),
                "usd": _spent(draw, keys),
            }
            for arm, keys, gain in (("big", big, effect), ("small", A_DAY - big, 0.0))
        }
        keys = {"big": big, "small": A_DAY - big}
        days.append(DayTally(f"{START.replace(day=day + 1)}", keys, 0, 0, tallies))
    return days


def _counted(draw: np.random.Generator, keys: int, share: float) -> Tally:
    hits = float(draw.binomial(keys, share))
    return Tally(keys, hits, hits)


def _spent(draw: np.random.Generator, keys: int) -> Tally:
    values = draw.gamma(4.0, 0.001, keys)
    return Tally(keys, float(values.sum()), float((values**2).sum()))


def test_equal_arms_win_or_are_called_harmful_no_more_often_than_stated() -> None:
    """Three metrics and the shares are looked at on 14 days; 5 % is stated for each metric."""
    ends = simulated(0.0, seed=3)
    wrong = {s: ends.count(s) / SIMULATIONS for s in (State.WON, State.HARM, State.BROKEN)}
    print(f"equal arms: {wrong}")
    assert wrong[State.WON] <= 0.05
    assert wrong[State.HARM] <= 0.05
    assert wrong[State.BROKEN] <= 0.01


def test_a_better_arm_wins_and_a_worse_one_is_stopped() -> None:
    """Rules that never end anything would pass the test above."""
    better, worse = simulated(0.12, seed=5), simulated(-0.15, seed=7)
    print(f"better won {better.count(State.WON) / SIMULATIONS}, worse stopped "
          f"{worse.count(State.HARM) / SIMULATIONS}")  # fmt: skip
    assert better.count(State.WON) / SIMULATIONS >= 0.9
    assert worse.count(State.HARM) / SIMULATIONS >= 0.9
    assert worse.count(State.WON) == 0
