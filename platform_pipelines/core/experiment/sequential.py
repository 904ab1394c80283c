"""The difference of two arms, with an interval that holds at every look.

A fixed-size test that is looked at daily and stopped at the first success errs several times as
often as it says. The interval here is the mixture sequential probability ratio test's (Johari,
Koomen, Pekelis and Walsh, 2022, "Always Valid Inference"): with probability 1 - alpha it covers the
difference at all times at once, in the normal approximation that `minimum` observations justify.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from platform_pipelines.core.road.metrics import Direction


@dataclass(frozen=True, slots=True)
class Tally:
    """What a day, or all days, saw of one metric in one arm: enough to go on without the rows."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )

    @property
    def mean(self) -> float:
        """Of all observations."""
        return self.total / self.count

    @property
    def variance(self) -> float:
        """Of one observation, never negative."""
        spread = self.squares - self.total * self.total / self.count
        return max(spread / (self.count - 1), 0.0)


def tally(values: Iterable[float]) -> Tally:
    """Of observations.

    Raises:
        ValueError: one is not finite; it is a failure to be counted, not a number to be averaged.
    """
    found = list(values)
    if not all(map(math.isfinite, found)):
        raise ValueError("an observation is not finite")
    return Tally(len(found), math.fsum(found), math.fsum(v * v for v in found))


class Standing(StrEnum):
    """What may be said now."""

    BETTER = "better"  # the candidate is, by more than nothing
    WORSE = "worse"  # by more than the margin: stop
    EQUAL = "equal"  # neither can be over the margin any more
    OPEN = "open"  # more observations would tell


@dataclass(frozen=True, slots=True)
class Look:
    """The gain of the candidate (positive is better), its interval, and what follows from it."""

    gain: float
    low: float
    high: float
    standing: Standing


def look(
    candidate: Tally,
    baseline: Tally,
    *,
    margin: float,
    direction: Direction = Direction.HIGHER,
    alpha: float = 0.05,
    minimum: int = 100,
) -> Look:
    """Look at the experiment now; the next look does not make this one wrong.

    Args:
        candidate: all observations of its arm so far.
        baseline: all observations of the other.
        margin: the difference that matters, in the metric's unit; over 0.
        direction: which way is better.
        alpha: how often an experiment of equal arms may ever be called different.
        minimum: observations of each arm before anything is said.
    """
    if margin <= 0:
        raise ValueError("margin is over 0")
    if min(candidate.count, baseline.count) < max(minimum, 2):
        return Look(0.0, -math.inf, math.inf, Standing.OPEN)
    sign = 1.0 if direction is Direction.HIGHER else -1.0
    gain = sign * (candidate.mean - baseline.mean)
    width = _half_width(
        candidate.variance / candidate.count + baseline.variance / baseline.count, margin, alpha
    )
    low, high = gain - width, gain + width
    return Look(gain, low, high, _standing(low, high, margin))


def _half_width(variance: float, margin: float, alpha: float) -> float:
    """The mixing variance is the square of the margin: narrowest where it matters."""
    if variance == 0.0:
        return 0.0
    mixed = margin * margin
    both = variance + mixed
    return math.sqrt(variance * both / mixed * (math.log(both / variance) - 2 * math.log(alpha)))


def _standing(low: float, high: float, margin: float) -> Standing:
    if high < -margin:
        return Standing.WORSE
    if low > 0:
        return Standing.BETTER
    if low > -margin and high < margin:
        return Standing.EQUAL
    return Standing.OPEN
